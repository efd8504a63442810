//! What a debugger wants, and real guests that are debugged.

use std::io::sink;
use std::path::Path;
use std::thread;
use std::time::Instant;

use iced_x86::code_asm::*;

use super::super::*;
use super::*;
use crate::controlled::test_guest::{CODE, DATA, END, Guest, LAPIC, places};
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
        assert_eq!(of_thread.status().unwrap().standstill, Some(Standstill::Debugged));
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
