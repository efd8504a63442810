//! Breakpoints in a controlled machine: they are reported, and the run stays the same.

use std::collections::BTreeSet;
use std::time::Duration;

use iced_x86::code_asm::*;

use super::*;
use crate::controlled::ControlledMachine;
use crate::controlled::test_guest::{DATA, LAPIC, SHARED, end, places, start_others};
use crate::controlled::testing::{machine, random};
use crate::end::End;
use crate::hook::{Hook, Verdict};
use crate::kvm::kick::Alarm;
use crate::kvm::{Host, host};
use crate::testing::Spy;

/// The debug capabilities to test: single steps only, and those of the host.
fn ways() -> Vec<DebugCapabilities> {
    let host = Host::open(std::path::Path::new(host::DEFAULT_DEVICE)).unwrap();
    let all = DebugCapabilities::of(&host);
    let mut ways = vec![DebugCapabilities { breakpoints: false, ..all }];
    if all.breakpoints {
        ways.push(all);
    }
    ways
}

fn attach(machine: &mut ControlledMachine, spy: &Spy, stopping: DebugCapabilities) {
    machine.attach(&[spy]).unwrap();
    for ctx in &mut machine.vcpus {
        ctx.breakpoints = Breakpoints::new(stopping, Halts::Exit);
    }
}

/// Collects the RIPs of accesses.
#[derive(Clone, Default)]
struct Accesses(std::sync::Arc<std::sync::Mutex<BTreeSet<u64>>>);

impl Attach for Accesses {
    fn attach(&self, _: u32, _: u32) -> Box<dyn Hook> {
        Box::new(self.clone())
    }
}

impl Hook for Accesses {
    fn points(&self) -> Points {
        Points::EXIT
    }

    fn exit(&mut self, context: &mut Context, exit: &Exit) -> Verdict {
        // At reads, RIP is at the instruction.
        if matches!(exit, Exit::MmioRead { .. }) {
            self.0.lock().unwrap().insert(context.cpu.registers().unwrap().rip);
        }
        Verdict::Continue
    }
}

#[test]
fn they_change_nothing_of_a_run() {
    for guest in ["tlb-shootdown", "lost-update-fixed", "irq-mainline", "ap-stack"] {
        let accesses = Accesses::default();
        let mut plain = machine(guest);
        plain.attach(&[&accesses]).unwrap();
        let ending = plain.run(&mut random(4), 100_000).unwrap();
        let places: Vec<u64> = accesses.0.lock().unwrap().iter().copied().collect();
        assert!(places.len() > 4, "{guest}");
        for stopping in ways() {
            for few in [&places[..1], &places[..4], &places[..]] {
                let spy = Spy::at(few);
                let mut watched = machine(guest);
                attach(&mut watched, &spy, stopping);
                assert_eq!(watched.run(&mut random(4), 100_000).unwrap(), ending);
                let way = format!("{guest}, {stopping}, {} of {}", few.len(), places.len());
                assert_eq!(
                    (watched.hash(), watched.points()),
                    (plain.hash(), plain.points()),
                    "{way}"
                );
                let missed: Vec<_> = few.iter().filter(|place| spy.count(**place) == 0).collect();
                // Some places are in handlers.
                let blind = !stopping.breakpoints && !stopping.steps_into_handlers;
                assert!(missed.is_empty() || blind, "{way}: never at {missed:x?}");
                let vcpus = watched.vcpus.len() as u32;
                let hits: u64 = (0..vcpus).flat_map(|v| watched.hits(v)).map(|hit| hit.hits).sum();
                let noted: usize = few.iter().map(|place| spy.count(*place)).sum();
                assert_eq!(hits, noted as u64, "{way}");
            }
        }
    }
}

#[test]
fn kicks_change_no_hit() {
    for guest in ["irq-mainline", "lost-wakeup", "tlb-shootdown"] {
        let accesses = Accesses::default();
        let mut plain = machine(guest);
        plain.attach(&[&accesses]).unwrap();
        plain.run(&mut random(4), 100_000).unwrap();
        let places: Vec<u64> = accesses.0.lock().unwrap().iter().copied().collect();
        for stopping in ways() {
            for few in [&places[..2], &places[..]] {
                let run = |interval: Option<u64>| {
                    let spy = Spy::at(few);
                    let mut machine = machine(guest);
                    attach(&mut machine, &spy, stopping);
                    let mut alarm = Alarm::new().unwrap();
                    if let Some(interval) = interval {
                        alarm.repeat(Duration::from_nanos(interval)).unwrap();
                    }
                    machine.run(&mut random(4), 100_000).unwrap();
                    (machine.hash(), few.iter().map(|at| spy.count(*at)).collect::<Vec<_>>())
                };
                let plain = run(None);
                for nth in 0..8 {
                    let kicked = run(Some(60_000 + 7_919 * nth));
                    assert_eq!(kicked, plain, "{guest}, {stopping}, {nth}: {few:x?}");
                }
            }
        }
    }
}

#[test]
fn an_access_that_is_put_back_is_told_once() {
    let (guest, [before, load, store, behind]) = places(|a, [before, load, store, behind]| {
        a.set_label(before)?;
        a.mov(rbx, SHARED)?;
        a.out(0xf5u32, al)?;
        a.set_label(load)?;
        a.mov(rax, qword_ptr(rbx))?;
        a.set_label(store)?;
        a.mov(qword_ptr(rbx + 8), rax)?;
        a.set_label(behind)?;
        end(a, 0)
    });
    for stopping in ways() {
        let mut machine = guest.machine();
        let all = Spy::at(&[before, load, store, behind]);
        attach(&mut machine, &all, stopping);
        assert_eq!(machine.run_to_mark(&mut random(1), 1000).unwrap(), None);
        let snapshot = machine.save().unwrap();
        for times in 1..=3 {
            machine.restore(&snapshot).unwrap();
            assert_eq!(machine.run(&mut random(1), 1000).unwrap(), End::Guest { code: 0 });
            assert_eq!(all.count(before), 1, "{stopping}");
            // The vCPU was stopped before the load when the snapshot was taken: the breakpoint has
            // been reported.
            assert_eq!(all.count(load), 1, "{stopping}");
            assert_eq!((all.count(store), all.count(behind)), (times, times), "{stopping}");
        }
    }
}

#[test]
fn a_halted_vcpu_wakes_and_its_handler_is_seen() {
    let (guest, [halt, behind]) = places(|a, [halt, behind]| {
        a.mov(rsi, LAPIC)?;
        for (register, value) in [(0xf0, 0x1ff), (0x3e0, 0xb), (0x320, 0x41), (0x380, 100_000)] {
            a.mov(dword_ptr(rsi + register), value)?;
        }
        a.sti()?;
        a.set_label(halt)?;
        a.hlt()?;
        a.set_label(behind)?;
        end(a, 0)
    });
    let (guest, handler) = guest.handle_at(0x41, |a| {
        a.mov(rsi, LAPIC)?;
        a.mov(dword_ptr(rsi + 0xb0), 0)?;
        a.iretq()
    });
    for stopping in ways() {
        for more in [&[][..], &[0x7000, 0x7001, 0x7002]] {
            let spy = Spy::at(&[&[halt, behind, handler], more].concat());
            let mut machine = guest.machine();
            attach(&mut machine, &spy, stopping);
            assert_eq!(machine.run(&mut random(1), 1000).unwrap(), End::Guest { code: 0 });
            let expected = if stopping.breakpoints {
                vec![halt, handler, behind]
            } else if stopping.steps_from_handlers || !stopping.steps_into_handlers {
                vec![halt, behind]
            } else {
                vec![halt]
            };
            assert_eq!(spy.order(0), expected, "{stopping}");
        }
    }
}

#[test]
fn processors_that_are_started_later_have_them_too() {
    let (guest, [started, counted]) = places(|a, [started, counted]| {
        a.set_label(started)?;
        a.test(edi, edi)?;
        a.jnz(*counted)?;
        start_others(a)?;
        let mut wait = a.create_label();
        a.set_label(&mut wait)?;
        a.cmp(dword_ptr(SHARED), 2)?;
        a.jne(wait)?;
        end(a, 0)?;
        a.set_label(counted)?;
        a.lock().inc(dword_ptr(SHARED))?;
        a.inc(dword_ptr(DATA))?;
        a.cli()?;
        a.hlt()
    });
    for stopping in ways() {
        let spy = Spy::at(&[started, counted]);
        let mut machine = guest.clone().with_vcpus(3).machine();
        attach(&mut machine, &spy, stopping);
        assert_eq!(machine.run(&mut random(2), 10_000).unwrap(), End::Guest { code: 0 });
        assert_eq!((spy.count(started), spy.count(counted)), (3, 2), "{stopping}");
    }
}

#[test]
fn at_instruction_granularity_they_change_nothing_either() {
    let (guest, [string, again, load, last]) = places(|a, [string, again, load, last]| {
        a.mov(rdi, DATA)?;
        a.mov(ecx, 10)?;
        a.set_label(string)?;
        a.rep().stosb()?;
        a.mov(ecx, 3)?;
        a.set_label(again)?;
        a.dec(ecx)?;
        a.jnz(*again)?;
        a.mov(rbx, DATA)?;
        a.set_label(load)?;
        a.mov(rax, qword_ptr(rbx))?;
        a.set_label(last)?;
        end(a, 0)
    });
    let guest = guest.stepped();
    let mut plain = guest.machine();
    assert_eq!(plain.run(&mut random(1), 1000).unwrap(), End::Guest { code: 0 });
    let spy = Spy::at(&[string, again, load, last, 0x7000]);
    let mut watched = guest.machine();
    watched.attach(&[&spy]).unwrap();
    assert_eq!(watched.run(&mut random(1), 1000).unwrap(), End::Guest { code: 0 });
    assert_eq!((watched.hash(), watched.points()), (plain.hash(), plain.points()));
    assert_eq!(spy.order(0), [string, again, again, again, load, last]);
    assert_eq!(watched.hits(0).iter().map(|hit| hit.hits).sum::<u64>(), 6);
}
