use std::time::Duration;

use super::*;
use crate::exit::{Bytes, Exit};
use crate::fault::Injection;
use crate::hook::{Context, FOR_GOOD, HookActions, Verdict};
use crate::memory::{Memory, MemorySize};
use crate::scripted::ScriptedCpu;

const MS: Duration = Duration::from_millis(1);
/// The address of every symbol.
const SYMBOL: u64 = 0x1234;

/// The hooks of a machine whose vCPUs get what `takes` says.
struct Bench {
    faults: RunFaults,
    hooks: Vec<Box<dyn Hook>>,
    memory: Memory,
    wakes: u64,
    got: Vec<(u32, Duration, Injection)>,
    held: Vec<Duration>,
}

impl Bench {
    fn new(fault: &str, vcpus: u32) -> Self {
        let mut spec: FaultSpec = fault.parse().unwrap();
        spec.resolve(|_| Ok::<_, String>(SYMBOL)).unwrap();
        let faults = RunFaults::new(&[spec], 1);
        let hooks = (0..vcpus).map(|vcpu| faults.attach(vcpu, vcpus)).collect();
        let memory = Memory::new(MemorySize::default()).unwrap();
        Self { faults, hooks, memory, wakes: 0, got: Vec::new(), held: Vec::new() }
    }

    fn call(
        &mut self,
        vcpu: u32,
        now: Duration,
        started: bool,
        call: impl FnOnce(&mut dyn Hook, &mut Context),
    ) -> HookActions {
        let mut actions = HookActions::default();
        let mut context = Context {
            vcpu,
            vcpus: self.hooks.len() as u32,
            cpu: &mut ScriptedCpu::new(std::iter::empty()),
            memory: &self.memory,
            now,
            point: None,
            started,
            held: false,
            actions: Some(&mut actions),
        };
        call(&mut *self.hooks[vcpu as usize], &mut context);
        self.wakes |= actions.wakes;
        actions
    }

    /// Lets the time pass up to `end`: each vCPU that is due is ticked. A vCPU takes what it gets
    /// if `takes` says so.
    fn pass(&mut self, end: Duration, started: bool, takes: bool) {
        let due = |hooks: &[Box<dyn Hook>]| {
            let ticks = hooks.iter().zip(0..).filter_map(|(hook, n)| Some((hook.next_tick()?, n)));
            ticks.min().filter(|(due, _)| *due <= end)
        };
        while let Some((now, vcpu)) = due(&self.hooks) {
            let mut verdict = Verdict::Continue;
            let actions =
                self.call(vcpu, now, started, |hook, context| verdict = hook.tick(context));
            if let Verdict::Hold(time) = verdict {
                self.held.push(time);
            }
            for (number, injection) in actions.injections {
                self.got.extend(takes.then_some((vcpu, now, injection)));
                self.call(vcpu, now, started, |hook, context| {
                    hook.injected(context, number, takes);
                });
            }
        }
    }

    fn times(&self) -> Vec<Duration> {
        self.got.iter().map(|(_, now, _)| *now).collect()
    }
}

#[test]
fn a_fault_strikes_at_its_time_and_once() {
    let mut bench = Bench::new("nmi:vcpu=1,at=5ms", 2);
    bench.pass(1000 * MS, true, true);
    assert_eq!(bench.got, [(1, 5 * MS, Injection::Nmi)]);
    assert_eq!(bench.faults.counts(), [(1, 1)]);
}

#[test]
fn it_strikes_again_as_often_as_asked() {
    let mut bench = Bench::new("irq-spurious:vector=0x40,vcpu=0,at=5ms,every=2ms,times=3", 1);
    bench.pass(1000 * MS, true, true);
    assert_eq!(bench.times(), [5 * MS, 7 * MS, 9 * MS]);
    assert_eq!(bench.got[0].2, Injection::Interrupt { vector: 0x40 });
    let mut bench = Bench::new("nmi:every=2ms", 1);
    bench.pass(1000 * MS, true, true);
    assert_eq!(bench.faults.counts(), [(500, 500)]);
}

#[test]
fn it_waits_for_a_vcpu_that_can_have_it() {
    let mut bench = Bench::new("nmi:at=5ms", 2);
    bench.pass(20 * MS, false, true);
    bench.pass(30 * MS, true, false);
    assert_eq!(bench.faults.counts(), [(0, 0)]);
    bench.pass(40 * MS, true, true);
    assert_eq!(bench.faults.counts(), [(1, 1)]);
    assert!(bench.times()[0] > 30 * MS);
}

#[test]
fn vcpus_are_drawn_and_woken() {
    let mut bench = Bench::new("nmi:every=1ms,times=100", 4);
    bench.pass(1000 * MS, true, true);
    for vcpu in 0..4 {
        assert!(bench.got.iter().filter(|(at, ..)| *at == vcpu).count() > 10);
    }
    assert_eq!(bench.wakes, 0b1111);
}

#[test]
fn chance_leaves_some_out() {
    let mut bench = Bench::new("nmi:every=1ms,p=0.25", 1);
    bench.pass(1000 * MS, true, true);
    let (matched, struck) = bench.faults.counts()[0];
    assert_eq!(matched, 1000);
    assert!((150..350).contains(&struck), "{struck}");
}

#[test]
fn a_mark_begins_the_time() {
    let mut bench = Bench::new("nmi:vcpu=1,at=mark+5ms", 2);
    bench.pass(100 * MS, true, true);
    assert_eq!(bench.faults.counts(), [(0, 0)]);
    let mark = Exit::PortWrite { port: 0xf5, size: 1, data: Bytes::from_slice(&[0]) };
    for now in [100 * MS, 200 * MS] {
        bench.call(0, now, true, |hook, context| {
            hook.exit(context, &mark);
        });
    }
    assert_eq!(bench.wakes, 0b10);
    bench.pass(1000 * MS, true, true);
    assert_eq!(bench.times(), [105 * MS]);
}

#[test]
fn faults_of_disks_are_not_its_own() {
    let disk: FaultSpec = "disk-error".parse().unwrap();
    assert!(RunFaults::new(&[disk], 1).is_empty());
}

#[test]
fn a_stalled_vcpu_is_held() {
    let mut bench = Bench::new("vcpu-stall:vcpu=0,at=1ms,for=7ms", 1);
    bench.pass(1000 * MS, true, true);
    assert_eq!((&bench.held[..], bench.faults.counts()), (&[7 * MS][..], vec![(1, 1)]));
}

#[test]
fn a_bit_changes_where_there_is_memory() {
    let mut bench = Bench::new("bit-flip:physical=0x1000,bit=11,at=1ms", 1);
    bench.pass(1000 * MS, true, true);
    assert_eq!(bench.memory.read_u64(0x1000).unwrap(), 1 << 11);
    assert_eq!(bench.faults.counts(), [(1, 1)]);
    let mut bench = Bench::new("bit-flip:physical=0x10000000000,at=1ms", 1);
    bench.pass(20 * MS, true, true);
    assert_eq!(bench.faults.counts(), [(0, 0)]);
}

#[test]
fn exceptions_have_the_error_code_that_they_must_have() {
    for (fault, vector, error_code, address) in [
        ("exception:vector=14,error=2,address=0x1000,at=1ms", 14, Some(2), Some(0x1000)),
        ("exception:vector=13,at=1ms", 13, Some(0), None),
        ("exception:vector=18,error=2,at=1ms", 18, None, None),
    ] {
        let mut bench = Bench::new(fault, 1);
        bench.pass(2 * MS, true, true);
        assert_eq!(bench.got[0].2, Injection::Exception { vector, error_code, address });
    }
}

#[test]
fn a_vcpu_s_start_is_held_and_counted_once_the_guest_starts_it() {
    let started_at = |fault: &str, hold: Duration, start: Duration| {
        let mut bench = Bench::new(fault, 2);
        let holds = [0, 1].map(|vcpu| {
            let call = |hook: &mut dyn Hook, context: &mut Context| hook.start(context);
            bench.call(vcpu, Duration::ZERO, vcpu == 0, call).hold
        });
        assert_eq!(holds, [Duration::ZERO, hold]);
        bench.pass(start, false, true);
        assert_eq!(bench.faults.counts(), [(0, 0)]);
        bench.pass(100 * MS, true, true);
        bench.faults.counts()[0]
    };
    assert_eq!(started_at("vcpu-start:vcpu=1", FOR_GOOD, 50 * MS), (1, 1));
    assert_eq!(started_at("vcpu-start:vcpu=1,for=30ms", 30 * MS, 22 * MS), (1, 1));
    // The hold is over when the guest starts the vCPU.
    assert_eq!(started_at("vcpu-start:vcpu=1,for=30ms", 30 * MS, 50 * MS), (0, 0));
}

#[test]
fn faults_of_clocks_are_there_from_the_start() {
    let mut bench = Bench::new("tsc-offset:vcpu=1,by=-1s", 2);
    let given = [0, 1].map(|vcpu| {
        let call = |hook: &mut dyn Hook, context: &mut Context| hook.start(context);
        bench.call(vcpu, Duration::ZERO, false, call).injections.len()
    });
    assert_eq!(given, [0, 1]);
}

#[test]
fn accesses_to_registers_that_match_are_struck() {
    let strikes = |fault: &str, accesses: &[(u32, u32, bool)]| {
        let mut bench = Bench::new(fault, 2);
        let struck = accesses.iter().map(|(vcpu, index, write)| {
            let access = MsrAccess { index: *index, write: *write, value: Some(7) };
            let call = |hook: &mut dyn Hook, context: &mut Context| {
                hook.msr(context, &access);
            };
            bench.call(*vcpu, MS, true, call).msr
        });
        let struck: Vec<_> = struck.collect();
        (struck, bench.faults.counts()[0])
    };
    let accesses = [(0, 0x1b, false), (1, 0x1b, true), (1, 0x1b, false), (0, 0x1c, false)];
    let (refused, lie) = (Some(MsrFault::Refused), Some(MsrFault::Reads(5)));
    let expected = [
        ("msr-fail:msr=0x1b", [refused, refused, refused, None], (3, 3)),
        ("msr-fail:msr=0x1b,op=write", [None, refused, None, None], (1, 1)),
        ("msr-fail:msr=0x1b,vcpu=1,times=1", [None, refused, None, None], (2, 1)),
        ("msr-lie:msr=0x1b,value=5,nth=2", [None, None, lie, None], (2, 1)),
    ];
    for (fault, struck, counts) in expected {
        assert_eq!(strikes(fault, &accesses), (struck.to_vec(), counts), "{fault}");
    }
}

#[test]
fn a_fault_strikes_who_executes_a_symbol() {
    let mut bench = Bench::new("nmi:at=symbol:x,nth=3,every=2ms,times=2", 2);
    let execute = |bench: &mut Bench, vcpu: u32| {
        assert_eq!(bench.hooks[vcpu as usize].breakpoints(), [SYMBOL]);
        let call = |hook: &mut dyn Hook, context: &mut Context| {
            hook.breakpoint(context, SYMBOL);
        };
        bench.call(vcpu, MS, true, call).injections.len()
    };
    assert_eq!([0, 1, 1].map(|vcpu| execute(&mut bench, vcpu)), [0, 0, 1]);
    assert!(bench.hooks[1].breakpoints().is_empty());
    // The other vCPU still has its breakpoint, which does nothing and goes.
    assert_eq!(execute(&mut bench, 0), 0);
    assert!(bench.hooks[0].breakpoints().is_empty());
    bench.call(1, MS, true, |hook, context| hook.injected(context, 0, true));
    bench.pass(100 * MS, true, true);
    assert_eq!(bench.times(), [3 * MS]);
    assert_eq!(bench.faults.counts(), [(2, 2)]);
    let mut bench = Bench::new("nmi:at=symbol:x,vcpu=0", 2);
    assert_eq!([1, 0].map(|vcpu| execute(&mut bench, vcpu)), [0, 1]);
}
