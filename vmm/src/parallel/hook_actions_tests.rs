//! The actions of hooks on real guests.

use std::io::sink;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

use iced_x86::code_asm::*;
use object::{Object, ObjectSegment};

use super::*;
use crate::controlled::test_guest::{DATA, Guest, end, places, start_others};
use crate::end::End;
use crate::exit::{Entry, Exit};
use crate::hook::{Context, Hook, Verdict};
use crate::kvm::{Host, host};
use crate::registers::Register;

/// An address without RAM: an access exits as MMIO.
const NOWHERE: u64 = 0x1000_0000;

/// When the hook acts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum When {
    Exit,
    Entry,
    Tick,
    Breakpoint(u64),
}

/// Performs an action once on a vCPU: at its first access to port 0x80 or [`NOWHERE`], at a tick,
/// or at a breakpoint.
struct Act<F> {
    vcpu: u32,
    when: When,
    action: F,
    done: AtomicU32,
}

impl<F: Fn(&mut Context) + Sync> Act<F> {
    fn at(when: When, action: F) -> Self {
        Self { vcpu: 0, when, action, done: AtomicU32::new(0) }
    }
}

struct Actor<'a, F> {
    act: &'a Act<F>,
    addresses: Vec<u64>,
    here: bool,
}

// The threads of the tests end before the data that they use.
impl<F: Fn(&mut Context) + Sync + Send + 'static> Attach for &'static Act<F> {
    fn attach(&self, vcpu: u32, _: u32) -> Box<dyn Hook> {
        let here = vcpu == self.vcpu;
        let addresses = match self.when {
            When::Breakpoint(address) if here => vec![address],
            _ => Vec::new(),
        };
        Box::new(Actor { act: self, addresses, here })
    }
}

impl<F: Fn(&mut Context) + Sync> Actor<'_, F> {
    fn act(&self, when: When, context: &mut Context) {
        if self.here && self.act.when == when && self.act.done.fetch_add(1, Ordering::SeqCst) == 0 {
            (self.act.action)(context);
        }
    }
}

impl<F: Fn(&mut Context) + Sync + Send> Hook for Actor<'_, F> {
    fn points(&self) -> Points {
        Points::EXIT | Points::ENTRY | Points::BREAKPOINT
    }

    fn exit(&mut self, context: &mut Context, exit: &Exit) -> Verdict {
        let ours = match exit {
            Exit::PortRead { port, .. } | Exit::PortWrite { port, .. } => *port == 0x80,
            Exit::MmioRead { address, .. } | Exit::MmioWrite { address, .. } => *address == NOWHERE,
            _ => false,
        };
        if ours {
            self.act(When::Exit, context);
        }
        Verdict::Continue
    }

    fn entry(&mut self, context: &mut Context, _: &Entry) {
        self.act(When::Entry, context);
    }

    fn breakpoints(&self) -> &[u64] {
        &self.addresses
    }

    fn breakpoint(&mut self, context: &mut Context, address: u64) -> Verdict {
        self.act(When::Breakpoint(address), context);
        Verdict::Continue
    }

    fn next_tick(&self) -> Option<Duration> {
        let wanted =
            self.here && self.act.when == When::Tick && self.act.done.load(Ordering::SeqCst) == 0;
        wanted.then_some(Duration::from_millis(30))
    }

    fn tick(&mut self, context: &mut Context) -> Verdict {
        self.act(When::Tick, context);
        Verdict::Continue
    }
}

fn host() -> Host {
    Host::open(Path::new(host::DEFAULT_DEVICE)).unwrap()
}

fn run<F: Fn(&mut Context) + Sync + Send + 'static>(guest: &Guest, act: Act<F>) -> Outcome {
    let machine = Machine::new(&host(), &guest.config(), Box::new(sink())).unwrap();
    let options = Options { timeout: Some(Duration::from_secs(20)), ..Options::default() };
    // A hook lives as long as the test.
    let act: &'static Act<F> = Box::leak(Box::new(act));
    let outcome = super::run(machine, &[&act], options).unwrap();
    assert!(act.done.load(Ordering::SeqCst) > 0, "the hook was never called");
    outcome
}

fn wanted<'a>(context: &'a mut Context) -> &'a mut crate::hook::HookActions {
    context.actions.as_deref_mut().expect("the run goes on")
}

/// The exit code of the guest.
#[track_caller]
fn code(outcome: &Outcome) -> u32 {
    match outcome.end {
        End::Guest { code } => code,
        ref other => panic!("{other:?}"),
    }
}

#[test]
fn a_register_is_set_behind_the_access() {
    // RAX is the register that the access itself loads; RBX is any other register.
    let set = |context: &mut Context| {
        wanted(context).set_register(Register::Rax, 0x1234);
        wanted(context).set_register(Register::Rbx, 0x5678);
    };
    let verdict = |a: &mut CodeAssembler| {
        a.sub(rax, 0x1234)?;
        a.sub(rbx, 0x5678)?;
        a.or(rax, rbx)?;
        a.out(0xf4u32, eax)?;
        a.hlt()
    };
    let port_read = Guest::new(|a| {
        a.xor(ebx, ebx)?;
        a.in_(al, 0x80u32)?;
        verdict(a)
    });
    let port_write = Guest::new(|a| {
        a.xor(ebx, ebx)?;
        a.out(0x80u32, al)?;
        verdict(a)
    });
    let load = Guest::new(|a| {
        a.mov(rsi, NOWHERE)?;
        a.mov(rax, qword_ptr(rsi))?;
        verdict(a)
    });
    let store = Guest::new(|a| {
        a.mov(rsi, NOWHERE)?;
        a.mov(qword_ptr(rsi), rax)?;
        verdict(a)
    });
    for (name, guest) in [("in", port_read), ("out", port_write), ("load", load), ("store", store)]
    {
        for when in [When::Exit, When::Entry] {
            let outcome = run(&guest, Act::at(when, set));
            // The first entry may come before the access: then the guest starts with these values.
            if when == When::Exit {
                assert_eq!(code(&outcome), 0, "{name}, {when:?}");
            }
        }
    }
}

#[test]
fn rip_is_set_at_any_exit_and_the_guest_goes_on_there() {
    for access in 0..4 {
        let (guest, [good]) = places(|a, [good]| {
            a.mov(rsi, NOWHERE)?;
            match access {
                0 => a.in_(al, 0x80u32)?,
                1 => a.out(0x80u32, al)?,
                2 => a.mov(rax, qword_ptr(rsi))?,
                _ => a.mov(qword_ptr(rsi), rax)?,
            }
            end(a, 1)?;
            a.set_label(good)?;
            end(a, 0)
        });
        let outcome = run(
            &guest,
            Act::at(When::Exit, move |context| wanted(context).set_register(Register::Rip, good)),
        );
        assert_eq!(code(&outcome), 0, "access {access}");
    }
}

#[test]
fn a_spinning_vcpu_is_led_out_of_its_loop_by_a_tick() {
    let (guest, [good]) = places(|a, [good]| {
        let mut spin = a.create_label();
        a.set_label(&mut spin)?;
        a.pause()?;
        a.jmp(spin)?;
        a.set_label(good)?;
        end(a, 0)
    });
    let outcome = run(
        &guest,
        Act::at(When::Tick, move |context| wanted(context).set_register(Register::Rip, good)),
    );
    assert_eq!(code(&outcome), 0);
}

#[test]
fn a_breakpoints_hook_changes_where_it_goes_on() {
    assert!(
        DebugCapabilities::of(&host()).can_stop(),
        "every host that is known can, if only by steps"
    );
    let (guest, [place, good]) = places(|a, [place, good]| {
        a.set_label(place)?;
        a.nop()?;
        end(a, 1)?;
        a.set_label(good)?;
        a.sub(ebx, 7)?;
        a.mov(eax, ebx)?;
        a.out(0xf4u32, eax)?;
        a.hlt()
    });
    let act = Act::at(When::Breakpoint(place), move |context: &mut Context| {
        wanted(context).set_register(Register::Rip, good);
        wanted(context).set_register(Register::Rbx, 7);
    });
    assert_eq!(code(&run(&guest, act)), 0);
}

/// Counts NMIs in memory.
fn counting_nmis(guest: Guest) -> Guest {
    guest.handle(2, |a| {
        a.mov(rbx, DATA)?;
        a.inc(dword_ptr(rbx))?;
        a.iretq()
    })
}

#[test]
fn an_nmi_reaches_the_vcpu_itself_and_others() {
    // The first vCPU waits for the NMI, which goes to itself or to the second vCPU, which sleeps.
    for (vcpus, target) in [(1, 0), (2, 1)] {
        let guest = counting_nmis(Guest::new(|a| {
            let (mut first, mut again) = (a.create_label(), a.create_label());
            a.test(edi, edi)?;
            a.jz(first)?;
            a.mov(dword_ptr(DATA + 8), edi)?;
            let mut sleep = a.create_label();
            a.set_label(&mut sleep)?;
            a.hlt()?;
            a.jmp(sleep)?;
            a.set_label(&mut first)?;
            start_others(a)?;
            let mut wait = a.create_label();
            a.set_label(&mut wait)?;
            a.pause()?;
            a.cmp(dword_ptr(DATA + 8), vcpus as i32 - 1)?;
            a.jne(wait)?;
            a.out(0x80u32, al)?;
            a.set_label(&mut again)?;
            a.mov(rsi, DATA)?;
            a.mov(eax, dword_ptr(rsi))?;
            a.test(eax, eax)?;
            a.jz(again)?;
            a.dec(eax)?;
            a.out(0xf4u32, eax)?;
            a.hlt()
        }))
        .with_vcpus(vcpus);
        let outcome = run(&guest, Act::at(When::Exit, move |c| wanted(c).nmi(target)));
        assert_eq!(code(&outcome), 0, "to vCPU {target}");
    }
}

#[test]
fn an_nmi_is_nothing_to_a_vcpu_that_waits_for_its_sipi() {
    let guest = counting_nmis(Guest::new(|a| {
        let mut spin = a.create_label();
        a.out(0x80u32, al)?;
        a.mov(ecx, 100_000)?;
        a.set_label(&mut spin)?;
        a.dec(ecx)?;
        a.jnz(spin)?;
        a.mov(rbx, DATA)?;
        a.mov(eax, dword_ptr(rbx))?;
        a.out(0xf4u32, eax)?;
        a.hlt()
    }))
    .with_vcpus(2);
    assert_eq!(code(&run(&guest, Act::at(When::Exit, |c| wanted(c).nmi(1)))), 0);
}

#[test]
fn a_hook_ends_the_run_and_says_whether_it_failed() {
    let guest = || {
        Guest::new(|a| {
            a.out(0x80u32, al)?;
            let mut spin = a.create_label();
            a.set_label(&mut spin)?;
            a.jmp(spin)
        })
    };
    for wanted_code in [0, 5] {
        let outcome = run(&guest(), Act::at(When::Exit, move |c| wanted(c).stop(wanted_code)));
        let End::Stopped { vcpu: 0, code } = outcome.end else { panic!("{:?}", outcome.end) };
        assert_eq!((code, outcome.end.is_failure()), (wanted_code, wanted_code != 0));
    }
}

#[test]
fn a_hook_holds_its_vcpu() {
    let guest = Guest::new(|a| {
        a.out(0x80u32, al)?;
        end(a, 0)
    });
    let time = Duration::from_millis(200);
    let outcome = run(&guest, Act::at(When::Exit, move |c| wanted(c).hold(time)));
    assert_eq!(code(&outcome), 0);
    assert!(outcome.elapsed >= time, "{:?}", outcome.elapsed);
}

#[test]
fn a_suspension_without_signals_is_refused() {
    let guest = Guest::new(|a| {
        a.out(0x80u32, al)?;
        end(a, 0)
    });
    let machine = Machine::new(&host(), &guest.config(), Box::new(sink())).unwrap();
    let act: &'static _ = Box::leak(Box::new(Act::at(When::Exit, |c: &mut Context| {
        wanted(c).suspend();
    })));
    let refused = super::run(machine, &[&act], Options::default()).unwrap_err().to_string();
    assert!(refused.contains("nobody could let the run go on"), "{refused}");
}

#[test]
fn a_dump_has_every_vcpus_registers_and_all_memory() {
    const MARK: u64 = 0x1122_3344_5566_7788;
    // The second vCPU spins with a value in R12 that the dump must contain.
    let guest = Guest::new(|a| {
        let (mut first, mut spin, mut wait) =
            (a.create_label(), a.create_label(), a.create_label());
        a.test(edi, edi)?;
        a.jz(first)?;
        a.mov(r12, MARK)?;
        a.mov(rbx, DATA)?;
        a.mov(qword_ptr(rbx), r12)?;
        a.set_label(&mut spin)?;
        a.pause()?;
        a.jmp(spin)?;
        a.set_label(&mut first)?;
        start_others(a)?;
        a.mov(rbx, DATA)?;
        a.set_label(&mut wait)?;
        a.pause()?;
        a.mov(rax, qword_ptr(rbx))?;
        a.test(rax, rax)?;
        a.jz(wait)?;
        a.out(0x80u32, al)?;
        end(a, 0)
    })
    .with_vcpus(2);
    let folder = std::env::temp_dir().join(format!("jitterbug-dump-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("core");
    std::fs::write(&path, "is there").unwrap();
    let file = path.clone();
    let outcome = run(
        &guest,
        Act::at(When::Exit, move |c| {
            wanted(c).dump(file.clone());
            wanted(c).stop(0);
        }),
    );
    assert!(matches!(outcome.end, End::Stopped { .. }), "{:?}", outcome.end);
    assert_eq!((outcome.dumps.len(), outcome.missed_dumps.len()), (1, 0));
    assert_eq!(std::fs::read(&path).unwrap(), b"is there", "no file is written over");
    assert_eq!(outcome.dumps[0], folder.join("core.1"));
    let bytes = std::fs::read(&outcome.dumps[0]).unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
    let core = object::File::parse(&*bytes).unwrap();
    // Found by its guest-virtual address, which equals the guest-physical address here.
    let value = core.segments().find_map(|s| s.data_range(DATA, 8).ok().flatten()).unwrap();
    assert_eq!(value, MARK.to_le_bytes());
    let marked = bytes.windows(8).filter(|bytes| *bytes == MARK.to_le_bytes()).count();
    // In memory, in the code, and in both notes: R12 of one vCPU, RAX of the other.
    assert_eq!(marked, 6);
}

#[test]
fn a_dump_that_can_not_be_written_ends_the_run_with_its_name() {
    let guest = Guest::new(|a| {
        a.out(0x80u32, al)?;
        end(a, 0)
    });
    let machine = Machine::new(&host(), &guest.config(), Box::new(sink())).unwrap();
    let act: &'static _ = Box::leak(Box::new(Act::at(When::Exit, |c: &mut Context| {
        wanted(c).dump("/no/such/folder/core".into());
    })));
    let refused = super::run(machine, &[&act], Options::default()).unwrap_err().to_string();
    assert!(refused.contains("/no/such/folder/core"), "{refused}");
}
