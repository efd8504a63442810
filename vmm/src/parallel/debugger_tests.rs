//! What a debugger wants, and real guests that are debugged.

use std::io::sink;
use std::path::Path;
use std::thread;
use std::time::Instant;

use iced_x86::code_asm::*;

use super::super::*;
use super::*;
use crate::controlled::test_guest::{CODE, DATA, END, Guest, LAPIC, places, start_others};
use crate::kvm::{Host, host};
use crate::registers::Registers;

/// Lets the machine go on, also when a test fails, so that it can end.
struct Detaching<'a>(&'a Debugger);

impl Drop for Detaching<'_> {
    fn drop(&mut self) {
        self.0.detach();
    }
}

/// Runs a guest while `act` debugs it.
fn debug(guest: &Guest, act: impl FnOnce(&Debugger) + Send + 'static) -> Outcome {
    let host = Host::open(Path::new(host::DEFAULT_DEVICE)).unwrap();
    let machine = Machine::new(&host, &guest.config(), Box::new(sink())).unwrap();
    let remote = Remote::default();
    let of_thread = remote.clone();
    let acting = thread::spawn(move || {
        let debugger = of_thread.debugger(Duration::from_secs(20)).unwrap();
        let detaching = Detaching(&debugger);
        act(detaching.0);
    });
    let timeout = Some(Duration::from_secs(20));
    let options = Options { remote: Some(&remote), debugged: true, timeout, ..Options::default() };
    let outcome = run(machine, &[], options).unwrap();
    acting.join().unwrap();
    outcome
}

fn next(debugger: &Debugger) -> Event {
    let begin = Instant::now();
    loop {
        if let Some(event) = debugger.next_event() {
            return event;
        }
        assert!(begin.elapsed() < Duration::from_secs(30), "nothing happens");
        thread::sleep(Duration::from_millis(1));
    }
}

fn registers(debugger: &Debugger, vcpu: usize) -> Registers {
    debugger.look(move |stopped| stopped.vcpus[vcpu].registers).unwrap()
}

/// Counts at [`DATA`] until RBX is not 0, and ends with what is in RCX.
fn counter() -> Guest {
    Guest::new(|a| {
        let mut count = a.create_label();
        a.mov(rsi, DATA)?;
        a.xor(ebx, ebx)?;
        a.xor(ecx, ecx)?;
        a.set_label(&mut count)?;
        a.inc(dword_ptr(rsi))?;
        a.test(ebx, ebx)?;
        a.jz(count)?;
        a.mov(eax, ecx)?;
        a.out(0xf4u32, eax)?;
        a.hlt()
    })
}

#[test]
fn a_guest_is_stepped_stopped_and_changed() {
    let outcome = debug(&counter(), |debugger| {
        let start = registers(debugger, 0).rip;
        assert_eq!(debugger.memory().read_u32(DATA).unwrap(), 0, "it has not begun");
        assert!(debugger.next_event().is_none());
        debugger.step(0, start).unwrap();
        assert_eq!(next(debugger), Event::Stopped { vcpu: 0, why: Why::Step });
        assert_eq!(registers(debugger, 0).rip, start + 1, "CLD has one byte");
        assert_eq!(debugger.step(1, start), Err(Refused::NoVcpu(1)));
        debugger.set(&[CODE], &[]).unwrap();
        debugger.go();
        assert_eq!(next(debugger), Event::Stopped { vcpu: 0, why: Why::Breakpoint(CODE) });
        // Each step is one instruction; the fourth is the first that counts.
        let mut rips = vec![CODE];
        for count in [0, 0, 0, 1, 1] {
            debugger.step(0, rips[rips.len() - 1]).unwrap();
            assert_eq!(next(debugger), Event::Stopped { vcpu: 0, why: Why::Step });
            rips.push(registers(debugger, 0).rip);
            assert_eq!(debugger.memory().read_u32(DATA).unwrap(), count, "{rips:x?}");
        }
        // A breakpoint is hit once for each round.
        let counts = rips[3];
        debugger.set(&[counts], &[]).unwrap();
        for count in [1, 2, 3] {
            debugger.go();
            let why = Why::Breakpoint(counts);
            assert_eq!(next(debugger), Event::Stopped { vcpu: 0, why });
            assert_eq!(registers(debugger, 0).rip, counts);
            assert_eq!(debugger.memory().read_u32(DATA).unwrap(), count);
        }
        debugger.set(&[], &[]).unwrap();
        debugger.write(DATA, &100u32.to_le_bytes()).unwrap();
        debugger.go();
        thread::sleep(Duration::from_millis(20));
        debugger.stop();
        registers(debugger, 0);
        assert!(debugger.memory().read_u32(DATA).unwrap() > 100);
        assert!(debugger.next_event().is_none());
        debugger.set_registers(0, vec![(Register::Rbx, 1), (Register::Rcx, 7)]);
        assert_eq!(registers(debugger, 0).rcx, 7);
        debugger.detach();
        assert_eq!(next(debugger), Event::Ended(Some(End::Guest { code: 7 })));
    });
    assert_eq!(outcome.end, End::Guest { code: 7 });
}

#[test]
fn time_in_which_it_stands_still_counts_for_no_limit() {
    let host = Host::open(Path::new(host::DEFAULT_DEVICE)).unwrap();
    let machine = Machine::new(&host, &counter().config(), Box::new(sink())).unwrap();
    let remote = Remote::default();
    let of_thread = remote.clone();
    let acting = thread::spawn(move || {
        let debugger = of_thread.debugger(Duration::from_secs(20)).unwrap();
        thread::sleep(Duration::from_millis(900));
        assert!(!debugger.is_over());
        assert_eq!(of_thread.status().unwrap().standstills, [Standstill::Debugged]);
        debugger.go();
    });
    let limit = Duration::from_millis(300);
    let options = Options {
        remote: Some(&remote),
        debugged: true,
        timeout: Some(limit),
        watchdog: Some(limit * 2),
        ..Options::default()
    };
    let outcome = run(machine, &[], options).unwrap();
    acting.join().unwrap();
    assert_eq!(outcome.end, End::TimeLimit);
    assert!(outcome.elapsed >= Duration::from_millis(1200), "{:?}", outcome.elapsed);
}

#[test]
fn a_step_takes_no_interrupt() {
    const VECTOR: u8 = 0x41;
    // An IPI to itself is pending when the guest turns interrupts on.
    let (guest, [behind_sti]) = places(|a, [behind_sti]| {
        a.mov(rsi, LAPIC)?;
        a.mov(dword_ptr(rsi + 0xf0), 0x1ff)?;
        a.mov(dword_ptr(rsi + 0x300), 1 << 18 | i32::from(VECTOR))?;
        a.sti()?;
        a.set_label(behind_sti)?;
        for _ in 0..8 {
            a.nop()?;
        }
        a.mov(eax, dword_ptr(DATA))?;
        a.out(END, eax)?;
        a.hlt()
    });
    let guest = guest.handle(VECTOR, |a| {
        a.inc(dword_ptr(DATA))?;
        a.mov(rsi, LAPIC)?;
        a.mov(dword_ptr(rsi + 0xb0), 0)?;
        a.iretq()
    });
    let outcome = debug(&guest, move |debugger| {
        debugger.set(&[behind_sti], &[]).unwrap();
        debugger.go();
        let why = Why::Breakpoint(behind_sti);
        assert_eq!(next(debugger), Event::Stopped { vcpu: 0, why });
        debugger.set(&[], &[]).unwrap();
        assert!(debugger.capabilities().unwrap().block_interrupts);
        for done in 0..4 {
            debugger.step(0, behind_sti + done).unwrap();
            assert_eq!(next(debugger), Event::Stopped { vcpu: 0, why: Why::Step });
            assert_eq!(registers(debugger, 0).rip, behind_sti + done + 1);
        }
        assert_eq!(debugger.memory().read_u32(DATA).unwrap(), 0);
    });
    assert_eq!(outcome.end, End::Guest { code: 1 }, "it comes when the vCPU goes on");
}

/// The step ends in the handler, or is refused, so that it never runs through the handler.
#[test]
fn a_step_over_an_instruction_that_raises_an_exception_is_not_lost() {
    let host = Host::open(Path::new(host::DEFAULT_DEVICE)).unwrap();
    let stops_there = crate::kvm::DebugCapabilities::of(&host).steps_into_handlers;
    // INT3 works on none of the hosts whose steps stop in handlers.
    let vectors: &[u8] = if stops_there { &[6] } else { &[6, 3] };
    for vector in vectors.iter().copied() {
        let (guest, [raises, behind]) = places(|a, [raises, behind]| {
            a.nop()?;
            a.set_label(raises)?;
            if vector == 3 {
                a.int3()?;
            } else {
                a.ud2()?;
            }
            a.set_label(behind)?;
            a.mov(eax, dword_ptr(DATA))?;
            a.out(END, eax)?;
            a.hlt()
        });
        let guest = guest.handle(vector, move |a| {
            a.inc(dword_ptr(DATA))?;
            if vector == 6 {
                a.add(qword_ptr(rsp), 2)?;
            }
            a.iretq()
        });
        let outcome = debug(&guest, move |debugger| {
            debugger.set(&[raises], &[]).unwrap();
            debugger.go();
            let why = Why::Breakpoint(raises);
            assert_eq!(next(debugger), Event::Stopped { vcpu: 0, why });
            debugger.set(&[], &[]).unwrap();
            debugger.step(0, raises).unwrap();
            let Event::Stopped { why, .. } = next(debugger) else { panic!("it ran away") };
            let now = registers(debugger, 0).rip;
            if stops_there {
                assert!(why == Why::Step && !(raises..=behind).contains(&now), "{now:#x}");
                return;
            }
            let Why::Raises { vector: raised, handler: Some(handler) } = why else {
                panic!("{why:?}")
            };
            assert_eq!((raised, now), (vector, raises));
            assert_eq!(debugger.memory().read_u32(DATA).unwrap(), 0);
            // What jitterbug advises.
            debugger.set(&[handler], &[]).unwrap();
            debugger.go();
            if debugger.capabilities().unwrap().breakpoints {
                let why = Why::Breakpoint(handler);
                assert_eq!(next(debugger), Event::Stopped { vcpu: 0, why });
            }
        });
        assert_eq!(outcome.end, End::Guest { code: 1 });
    }
}

#[test]
fn a_debugger_that_goes_during_a_step_leaves_a_machine_that_runs() {
    let outcome = debug(&counter(), |debugger| {
        for round in 0u32..300 {
            let start = registers(debugger, 0).rip;
            debugger.step(0, start).unwrap();
            // At some time before, during or after the step.
            for _ in 0..round * 20 {
                std::hint::spin_loop();
            }
            debugger.detach();
            let before = debugger.memory().read_u32(DATA).unwrap();
            let begin = Instant::now();
            while debugger.memory().read_u32(DATA).unwrap() == before {
                assert!(
                    begin.elapsed() < Duration::from_secs(10),
                    "round {round}: it stands still"
                );
            }
            assert!(debugger.next_event().is_none());
            debugger.stop();
        }
        registers(debugger, 0);
        debugger.set_registers(0, vec![(Register::Rbx, 1), (Register::Rcx, 3)]);
    });
    assert_eq!(outcome.end, End::Guest { code: 3 });
}

#[test]
fn a_step_begins_where_the_debugger_has_just_set_rip() {
    let (guest, [loops, there]) = places(|a, [loops, there]| {
        a.xor(ecx, ecx)?;
        a.set_label(loops)?;
        a.jmp(*loops)?;
        a.set_label(there)?;
        for _ in 0..4 {
            a.inc(ecx)?;
        }
        a.mov(eax, ecx)?;
        a.out(END, eax)?;
        a.hlt()
    });
    let outcome = debug(&guest, move |debugger| {
        debugger.go();
        for _ in 0..100 {
            debugger.stop();
            registers(debugger, 0);
            debugger.set_registers(0, vec![(Register::Rip, there), (Register::Rcx, 0)]);
            debugger.step(0, there).unwrap();
            assert_eq!(next(debugger), Event::Stopped { vcpu: 0, why: Why::Step });
            let now = registers(debugger, 0);
            assert_eq!((now.rip, now.rcx), (there + 2, 1), "INC has two bytes");
            debugger.set_registers(0, vec![(Register::Rip, loops)]);
            debugger.go();
        }
        debugger.stop();
        registers(debugger, 0);
        debugger.set_registers(0, vec![(Register::Rip, there), (Register::Rcx, 0)]);
    });
    assert_eq!(outcome.end, End::Guest { code: 4 });
}

#[test]
fn a_breakpoint_that_two_vcpus_reach_at_once_stops_no_machine_that_was_left() {
    // Both vCPUs come to the place again and again, each with its own counter.
    let (guest, [place]) = places(|a, [place]| {
        let (mut is_ap, mut end) = (a.create_label(), a.create_label());
        a.test(edi, edi)?;
        a.jnz(is_ap)?;
        start_others(a)?;
        a.set_label(&mut is_ap)?;
        a.mov(esi, edi)?;
        a.lea(rsi, qword_ptr(rsi * 4 + DATA as i32))?;
        a.set_label(place)?;
        a.inc(dword_ptr(rsi))?;
        a.cmp(dword_ptr(DATA + 8), 0)?;
        a.je(*place)?;
        a.test(edi, edi)?;
        a.jz(end)?;
        a.hlt()?;
        a.set_label(&mut end)?;
        a.mov(eax, 5)?;
        a.out(END, eax)?;
        a.hlt()
    });
    let outcome = debug(&guest.with_vcpus(2), move |debugger| {
        let counts = || [0, 4].map(|at| debugger.memory().read_u32(DATA + at).unwrap());
        let both_run = |round| {
            let (before, begin) = (counts(), Instant::now());
            while counts().iter().zip(before).any(|(now, before)| *now == before) {
                assert!(begin.elapsed() < Duration::from_secs(10), "round {round}: {before:?}");
            }
            assert!(debugger.next_event().is_none(), "round {round}");
        };
        debugger.go();
        both_run(0);
        for round in 1..40 {
            debugger.stop();
            registers(debugger, 0);
            debugger.set(&[place], &[]).unwrap();
            debugger.go();
            let Event::Stopped { why, .. } = next(debugger) else { panic!("it ends") };
            assert_eq!(why, Why::Breakpoint(place));
            if round % 2 == 0 {
                debugger.detach();
            } else {
                registers(debugger, 0);
                debugger.set(&[], &[]).unwrap();
                debugger.go();
            }
            both_run(round);
        }
        debugger.write(DATA + 8, &[1]).unwrap();
    });
    assert_eq!(outcome.end, End::Guest { code: 5 });
}
