//! Self-tests of guest debug, second part: breakpoints and watchpoints. KVM accepts all of them on
//! every host, but they don't fire on every host.

use std::time::{Duration, Instant};

use iced_x86::code_asm::{CodeAssembler, qword_ptr, rax, rbx};

use super::bench::Bench;
use super::layout::{CODE, DATA, HOLE, Ring};
use super::outcome::{Outcome, Samples, Tested};
use super::test_guest::TestGuest;
use crate::cpu::Cpu;
use crate::exit::Exit;
use crate::guest_debug::{Breakpoint, GuestDebug, Length, Trigger};
use crate::registers::Registers;

const HITS: u64 = 50;
/// The length of NOP and INT3.
const NOP: u64 = 1;

/// How to leave an execution breakpoint without hitting it again.
#[derive(Clone, Copy, PartialEq)]
enum Leave {
    /// Set RFLAGS.RF, as the processor's manual says.
    ResumeFlag,
    /// Remove the breakpoint, step, and set it again: for hosts that ignore the flag.
    StepOver,
}

fn one(address: u64, trigger: Trigger) -> GuestDebug {
    let breakpoint = Some(Breakpoint { address, trigger });
    GuestDebug { breakpoints: [breakpoint, None, None, None], ..Default::default() }
}

/// DR0 on an instruction of a loop. The reported cost is that of hitting and leaving the
/// breakpoint.
pub(super) fn execution(test_guest: &TestGuest) -> Tested<Outcome> {
    let (mut bench, address) = test_guest.kernel_loop(HITS, CodeAssembler::nop)?;
    let breakpoint = one(address, Trigger::Execute);
    bench.cpu.set_debug(&breakpoint)?;
    let mut leave = Leave::ResumeFlag;
    let mut previous = None;
    let mut times = Vec::new();
    while previous != Some(1) {
        let (left, time) = hit(&mut bench, &breakpoint, address, leave)?;
        if previous != Some(left) {
            previous = Some(left);
            times.push(time);
        } else if leave == Leave::ResumeFlag {
            (leave, previous) = (Leave::StepOver, None);
            times.clear();
        } else {
            return Ok(Outcome::partly("fires, and then again and again at the same place"));
        }
    }
    bench.expect_done()?;
    let median = times.into_iter().collect::<Samples>().median();
    Ok(match leave {
        Leave::ResumeFlag => Outcome::works("fires before the instruction; RFLAGS.RF passes it"),
        Leave::StepOver => Outcome::partly("fires, but RFLAGS.RF is ignored: it hits again")
            .instead("take it out and step over"),
    }
    .costing(median))
}

/// Handles one hit: returns the remaining iterations of the loop, this one included, and the cost.
fn hit(
    bench: &mut Bench,
    breakpoint: &GuestDebug,
    address: u64,
    leave: Leave,
) -> Tested<(u64, Duration)> {
    let start = Instant::now();
    expect_debug(bench, address)?;
    let mut registers = bench.cpu.registers()?;
    match leave {
        Leave::ResumeFlag => {
            registers.rflags |= Registers::RESUME_FLAG;
            bench.cpu.set_registers(&registers)?;
        }
        Leave::StepOver => {
            bench.cpu.set_debug(&GuestDebug { step: true, ..Default::default() })?;
            expect_debug(bench, address + NOP)?;
            bench.cpu.set_debug(breakpoint)?;
        }
    }
    Ok((registers.rbx, start.elapsed()))
}

fn expect_debug(bench: &mut Bench, address: u64) -> Tested<()> {
    match bench.resume()? {
        Exit::Debug { pc, .. } if pc == address => Ok(()),
        exit => Err(bench.odd(&exit).into()),
    }
}

/// DR0 on an instruction in ring 3.
pub(super) fn execution_user(test_guest: &TestGuest) -> Tested<Outcome> {
    data_or_code(test_guest, Ring::User, CODE + NOP, Trigger::Execute)
}

/// DR0 on a quadword that the kernel stores to in a loop, whose stores to other data don't count.
/// The reported cost is that of a hit.
pub(super) fn write(test_guest: &TestGuest) -> Tested<Outcome> {
    let mut bench = test_guest.kernel(|a| {
        let mut again = a.create_label();
        a.mov(rbx, HITS)?;
        a.set_label(&mut again)?;
        a.mov(qword_ptr(DATA + 8), rbx)?;
        a.mov(qword_ptr(DATA), rbx)?;
        a.dec(rbx)?;
        a.jnz(again)?;
        a.mov(qword_ptr(HOLE), rax)
    })?;
    bench.cpu.set_debug(&one(DATA, Trigger::Write(Length::Eight)))?;
    let mut times = Vec::new();
    for left in (1..=HITS).rev() {
        let start = Instant::now();
        match bench.resume()? {
            Exit::Debug { dr6, .. } if dr6 & 1 != 0 => {}
            Exit::Debug { dr6, .. } => {
                return Ok(Outcome::partly(format!("fires, but DR6 is {dr6:#x}")));
            }
            Exit::MmioWrite { .. } if left == HITS => {
                return Ok(Outcome::silent("accepted, never fires"));
            }
            exit => return Ok(bench.odd(&exit)),
        }
        times.push(start.elapsed());
        if bench.cpu.registers()?.rbx != left {
            return Ok(Outcome::partly("fires, but not after each of the stores"));
        }
    }
    Ok(match bench.resume()? {
        Exit::MmioWrite { .. } => {
            let median = times.into_iter().collect::<Samples>().median();
            Outcome::works("fires after the access").costing(median)
        }
        Exit::Debug { .. } => Outcome::partly("fires more often than there are stores"),
        exit => bench.odd(&exit),
    })
}

/// DR0 on a quadword that the kernel loads.
pub(super) fn access(test_guest: &TestGuest) -> Tested<Outcome> {
    data_or_code(test_guest, Ring::Kernel, DATA + 8, Trigger::Access(Length::Eight))
}

/// DR0 on a quadword that a user program stores to.
pub(super) fn write_user(test_guest: &TestGuest) -> Tested<Outcome> {
    data_or_code(test_guest, Ring::User, DATA, Trigger::Write(Length::Eight))
}

fn data_or_code(
    test_guest: &TestGuest,
    ring: Ring,
    address: u64,
    trigger: Trigger,
) -> Tested<Outcome> {
    let mut bench = test_guest.ring(ring, |a| {
        a.nop()?;
        a.nop()?;
        a.mov(qword_ptr(DATA), rbx)?;
        a.mov(rax, qword_ptr(DATA + 8))?;
        a.nop()?;
        // The end of the test, which exits from both rings.
        a.mov(qword_ptr(HOLE), rax)
    })?;
    bench.cpu.set_debug(&one(address, trigger))?;
    Ok(match bench.resume()? {
        Exit::Debug { dr6, .. } if dr6 & 1 != 0 => Outcome::works(match trigger {
            Trigger::Execute => "fires before the instruction",
            Trigger::Write(_) | Trigger::Access(_) => "fires after the access",
        }),
        Exit::Debug { dr6, .. } => Outcome::partly(format!("fires, but DR6 is {dr6:#x}")),
        Exit::MmioWrite { .. } => Outcome::silent("accepted, never fires"),
        exit => bench.odd(&exit),
    })
}
