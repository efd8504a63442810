use super::super::Jitter;
use super::*;
use crate::cpu::Cpu;
use crate::hook::Attach;
use crate::memory::{Memory, MemorySize};
use crate::registers::Activity;
use crate::scripted::ScriptedCpu;

/// Calls a vCPU's hook at each of its ticks until `end`; returns the holds with their times.
fn run(jitter: &Jitter, vcpu: u32, end: Duration, activity: Activity) -> Vec<(Duration, Duration)> {
    let memory = Memory::new(MemorySize::default()).unwrap();
    let mut cpu = ScriptedCpu::new([]);
    cpu.activity = activity;
    let mut hook = jitter.attach(vcpu, 6);
    let mut holds = Vec::new();
    let mut context = Context {
        vcpu,
        vcpus: 6,
        cpu: &mut cpu as &mut dyn Cpu,
        memory: &memory,
        now: Duration::ZERO,
        point: None,
        started: activity != Activity::WaitForSipi,
        held: false,
        actions: None,
    };
    while let Some(next) = hook.next_tick().filter(|next| *next < end) {
        context.now = next.max(context.now);
        // The vCPU makes progress between two ticks.
        let mut registers = context.cpu.registers().unwrap();
        registers.rip += 1;
        context.cpu.set_registers(&registers).unwrap();
        if let Verdict::Hold(time) = hook.tick(&mut context) {
            holds.push((context.now, time));
        }
    }
    hook.stop(&mut context);
    holds
}

const SECOND: Duration = Duration::from_secs(1);

fn jitter(spec: &str, seed: u64) -> Jitter {
    Jitter::new(spec.parse().unwrap(), seed)
}

#[test]
fn the_same_seed_pauses_at_the_same_instants() {
    let pauses = |seed, vcpu| run(&jitter("pause", seed), vcpu, SECOND, Activity::Running);
    assert_eq!(pauses(1, 0), pauses(1, 0));
    assert_ne!(pauses(1, 0), pauses(1, 1));
    assert_ne!(pauses(1, 0), pauses(2, 0));
}

#[test]
fn every_injection_is_counted() {
    let jitter = jitter("pause;throttle", 4);
    let holds = run(&jitter, 0, SECOND, Activity::Running);
    let counts = jitter.injections();
    assert!(counts.pauses > 10 && counts.throttles > 10, "{counts:?}");
    assert!(holds.len() as u64 <= counts.total());
    let time: Duration = holds.iter().map(|(_, time)| *time).sum();
    assert!(counts.microseconds.abs_diff(time.as_micros() as u64) <= holds.len() as u64);
}

#[test]
fn sleepers_are_left_alone_and_not_counted() {
    for activity in [Activity::Halted, Activity::WaitForSipi] {
        let jitter = jitter("pause;throttle", 4);
        assert_eq!(run(&jitter, 0, SECOND, activity), []);
        assert_eq!(jitter.injections(), Injections::default());
    }
}

#[test]
fn a_victim_is_throttled_for_a_while_and_then_left_alone() {
    let jitter = jitter("throttle:every=100ms,for=10ms,slice=100us,gap=500us", 1);
    let holds = run(&jitter, 2, 20 * SECOND, Activity::Running);
    assert!(holds.len() > 50, "{}", holds.len());
    let breaks = holds.windows(2).filter(|pair| pair[1].0 > pair[0].0 + SECOND / 20).count();
    assert!(breaks > 3, "it has free time between the stretches");
}

#[test]
fn a_vcpu_that_does_not_get_on_is_left_alone_for_longer_and_longer() {
    let memory = Memory::new(MemorySize::default()).unwrap();
    let mut cpu = ScriptedCpu::new([]);
    let jitter = jitter("pause:every=10us,for=1us", 1);
    let mut hook = jitter.attach(0, 1);
    let mut context = Context {
        vcpu: 0,
        vcpus: 1,
        cpu: &mut cpu,
        memory: &memory,
        now: Duration::ZERO,
        point: None,
        started: true,
        held: false,
        actions: None,
    };
    while let Some(next) = hook.next_tick().filter(|next| *next < SECOND) {
        context.now = next;
        hook.tick(&mut context);
    }
    hook.stop(&mut context);
    assert!(jitter.injections().pauses < 10, "{:?}", jitter.injections());
}

#[test]
fn holds_happen_at_the_chosen_exits_with_the_chosen_probability() {
    let jitter = jitter("hold:at=mmio,p=0.5,for=1ms", 8);
    let memory = Memory::new(MemorySize::default()).unwrap();
    let mut cpu = ScriptedCpu::new([]);
    let mut hook = jitter.attach(0, 1);
    let mut context = Context {
        vcpu: 0,
        vcpus: 1,
        cpu: &mut cpu,
        memory: &memory,
        now: Duration::ZERO,
        point: None,
        started: true,
        held: false,
        actions: None,
    };
    let mmio = Exit::MmioRead { address: 0, size: 4 };
    let held = (0..1000)
        .filter(|_| hook.exit(&mut context, &mmio) == Verdict::Hold(Duration::from_millis(1)))
        .count();
    assert!((400..600).contains(&held), "{held}");
    let port = Exit::PortRead { port: 0, size: 1, count: 1 };
    assert!((0..100).all(|_| hook.exit(&mut context, &port) == Verdict::Continue));
    hook.stop(&mut context);
    assert_eq!(jitter.injections().holds, held as u64);
}
