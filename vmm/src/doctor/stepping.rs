//! Self-tests of guest debug, first part: single steps.

use std::time::{Duration, Instant};

use iced_x86::code_asm::{CodeAssembler, al, dword_ptr, eax};

use super::bench::Bench;
use super::layout::{self, CODE, HOLE, MARK, TRAP};
use super::outcome::{Outcome, Samples, Tested};
use super::test_guest::{TestGuest, done};
use crate::exit::Exit;
use crate::guest_debug::GuestDebug;

const STEP: GuestDebug = GuestDebug {
    step: true,
    block_interrupts: false,
    software_breakpoints: false,
    debug_exceptions: false,
    breakpoints: [None; 4],
};
const NMI: u8 = 2;
const NOPS: u64 = 64;

/// Every one-byte instruction causes one exit, behind it.
pub(super) fn step(test_guest: &TestGuest) -> Tested<Outcome> {
    let mut bench = nops(test_guest)?;
    bench.cpu.set_debug(&STEP)?;
    let times =
        (1..=NOPS).map(|n| timed_step(&mut bench, CODE + n)).collect::<Tested<Samples>>()?;
    bench.cpu.set_debug(&GuestDebug::default())?;
    bench.expect_done()?;
    Ok(Outcome::works("one debug exit an instruction").costing(times.median()))
}

/// Steps in ring 3. A host whose steps don't work there may give the trap to the guest.
pub(super) fn step_user(test_guest: &TestGuest) -> Tested<Outcome> {
    const TO_GUEST: &str = "accepted, never fires: the guest gets a #DB of its own";
    let mut bench = test_guest.user(|a| {
        for _ in 0..NOPS {
            a.nop()?;
        }
        a.mov(dword_ptr(HOLE), eax)
    })?;
    bench.cpu.set_debug(&STEP)?;
    for n in 1..=NOPS {
        match bench.resume()? {
            Exit::Debug { pc, .. } if pc == CODE + n => {}
            Exit::MmioWrite { .. } => {
                return Ok(Outcome::silent("accepted, never fires in ring 3"));
            }
            Exit::Debug { pc, .. } if layout::is_handler(pc) => {
                return Ok(Outcome::silent(TO_GUEST));
            }
            Exit::PortWrite { port: TRAP, .. } => return Ok(Outcome::silent(TO_GUEST)),
            exit => return Ok(bench.odd(&exit)),
        }
    }
    Ok(Outcome::works("user programs can be stepped"))
}

/// A step of an instruction that faults must stop in the handler, at the latest behind its first
/// instruction.
pub(super) fn step_into_handler(test_guest: &TestGuest) -> Tested<Outcome> {
    const UNDEFINED: u8 = 6;
    let mut bench = test_guest.kernel(CodeAssembler::ud2)?;
    bench.handle(UNDEFINED, |a| {
        a.nop()?;
        a.nop()?;
        a.out(u32::from(MARK), al)
    })?;
    let (handler, ..) = layout::own_handler(UNDEFINED);
    bench.cpu.set_debug(&STEP)?;
    Ok(match bench.resume()? {
        Exit::Debug { pc, .. } if pc == handler => Outcome::works("before its first instruction"),
        Exit::Debug { pc, .. } if pc == handler + 1 => {
            Outcome::works("behind its first instruction")
        }
        Exit::PortWrite { port: MARK, .. } => Outcome::silent("the handler runs on"),
        exit => bench.odd(&exit),
    })
}

fn nops(test_guest: &TestGuest) -> Tested<Bench> {
    test_guest.kernel(|a| {
        for _ in 0..NOPS {
            a.nop()?;
        }
        done(a)
    })
}

fn timed_step(bench: &mut Bench, behind: u64) -> Tested<Duration> {
    let start = Instant::now();
    match bench.resume()? {
        Exit::Debug { pc, .. } if pc == behind => Ok(start.elapsed()),
        Exit::Debug { pc, .. } => {
            Err(Outcome::partly(format!("a step goes to {pc:#x}, not {behind:#x}")).into())
        }
        exit => Err(bench.odd(&exit).into()),
    }
}

/// A step onto HLT without an irqchip: the halt must not be lost.
pub(super) fn step_onto_halt(test_guest: &TestGuest) -> Tested<Outcome> {
    let mut bench = test_guest.kernel(|a| {
        a.hlt()?;
        a.out(u32::from(MARK), al)?;
        done(a)
    })?;
    bench.cpu.set_debug(&STEP)?;
    let first = bench.resume()?;
    bench.cpu.set_debug(&GuestDebug::default())?;
    let second = bench.resume()?;
    Ok(match (first, second) {
        (Exit::Halt, Exit::PortWrite { port: MARK, .. }) => Outcome::works("a HLT exit"),
        (Exit::Debug { .. }, Exit::Halt) => Outcome::works("a debug exit, then the HLT exit"),
        (Exit::Debug { .. }, Exit::PortWrite { port: MARK, .. }) => {
            Outcome::partly("a debug exit, and the halt is gone")
        }
        (Exit::Debug { .. } | Exit::Halt, exit) | (exit, _) => bench.odd(&exit),
    })
}

/// A pending NMI must not divert a step with `BLOCKIRQ`, and must divert a step without it.
pub(super) fn block_interrupts(test_guest: &TestGuest) -> Tested<Outcome> {
    const BLOCKIRQ: u32 = kvm_bindings::KVM_GUESTDBG_BLOCKIRQ;
    let supported = test_guest.host.capability(kvm_bindings::KVM_CAP_SET_GUEST_DEBUG2);
    if supported as u32 & BLOCKIRQ == 0 {
        return Ok(Outcome::missing("not among KVM_CAP_SET_GUEST_DEBUG2's bits"));
    }
    let mut bench = nops(test_guest)?;
    bench.handle(NMI, |a| {
        a.out(u32::from(MARK), al)?;
        a.iretq()
    })?;
    bench.cpu.set_debug(&GuestDebug { block_interrupts: true, ..STEP })?;
    bench.cpu.nmi()?;
    for n in 1..=4 {
        match bench.resume()? {
            Exit::Debug { pc, .. } if pc == CODE + n => {}
            Exit::Debug { .. } | Exit::PortWrite { port: MARK, .. } => {
                return Ok(Outcome::silent("accepted, but a waiting NMI diverts the step"));
            }
            exit => return Ok(bench.odd(&exit)),
        }
    }
    bench.cpu.set_debug(&GuestDebug::default())?;
    match bench.resume()? {
        Exit::PortWrite { port: MARK, .. } => {
            Ok(Outcome::works("steps aren't diverted into handlers"))
        }
        exit => match bench.odd(&exit) {
            odd if odd.verdict == super::outcome::Verdict::Silent => {
                Ok(Outcome::partly("holds an NMI back for ever"))
            }
            odd => Ok(odd),
        },
    }
}

/// Whether a step over the return from a handler ends where it returns to.
pub(super) fn over_return(test_guest: &TestGuest) -> Tested<Outcome> {
    let mut bench = nops(test_guest)?;
    bench.handle(NMI, |a| {
        a.out(u32::from(MARK), al)?;
        a.iretq()
    })?;
    bench.cpu.nmi()?;
    bench.expect_port(MARK)?;
    let iretq = layout::own_handler(NMI).0 + 2;
    bench.cpu.set_debug(&STEP)?;
    loop {
        match bench.resume()? {
            // The port write is complete.
            Exit::Debug { pc, .. } if pc == iretq => {}
            Exit::Debug { pc: CODE, .. } => return Ok(Outcome::works("stops where it returns to")),
            Exit::Debug { pc, .. } => {
                let late = pc.wrapping_sub(CODE);
                return Ok(Outcome::partly(format!("stops {late} instructions late")));
            }
            exit => return Ok(bench.odd(&exit)),
        }
    }
}
