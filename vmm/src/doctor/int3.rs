//! Self-tests of guest debug, third part: INT3 as a breakpoint.

use std::time::Instant;

use iced_x86::code_asm::{CodeAssembler, qword_ptr, rax, rsp};

use super::bench::Bench;
use super::layout::{CODE, DATA, TRAP};
use super::outcome::{Outcome, Samples, Tested};
use super::test_guest::{TestGuest, done};
use crate::cpu::Cpu;
use crate::exit::Exit;
use crate::guest_debug::GuestDebug;

const HITS: u64 = 50;
/// The length of NOP and INT3.
const NOP: u64 = 1;
const OPCODE_NOP: u8 = 0x90;
const OPCODE_INT3: u8 = 0xcc;

/// The vector of #BP.
const BP: u8 = 3;

const EXITS: GuestDebug = GuestDebug {
    software_breakpoints: true,
    step: false,
    block_interrupts: false,
    debug_exceptions: false,
    breakpoints: [None; 4],
};

/// INT3 under `KVM_GUESTDBG_USE_SW_BP`.
pub(super) fn exits(test_guest: &TestGuest) -> Tested<Outcome> {
    let mut bench = test_guest.kernel(|a| {
        a.nop()?;
        a.int3()?;
        done(a)
    })?;
    bench.cpu.set_debug(&EXITS)?;
    Ok(match bench.resume()? {
        Exit::Int3 { pc } if pc == CODE + NOP => Outcome::works("any number of breakpoints"),
        Exit::Int3 { pc } => Outcome::partly(format!("exits, but at {pc:#x}")),
        Exit::PortWrite { port: TRAP, .. } => {
            Outcome::silent("accepted, never fires: the guest gets the #BP itself")
        }
        exit => bench.odd(&exit),
    })
}

/// An INT3 in place of an instruction of a loop. The reported cost is that of hitting it, stepping
/// over the instruction and putting the INT3 in again.
pub(super) fn step(test_guest: &TestGuest) -> Tested<Outcome> {
    let (mut bench, address) = test_guest.kernel_loop(HITS, CodeAssembler::nop)?;
    let put = |bench: &Bench, byte: u8| bench.vm.memory().write(address, &[byte]);
    put(&bench, OPCODE_INT3)?;
    bench.cpu.set_debug(&EXITS)?;
    let mut times = Vec::new();
    for left in (1..=HITS).rev() {
        let start = Instant::now();
        expect_int3(&mut bench, address)?;
        if bench.cpu.registers()?.rbx != left {
            return Ok(Outcome::partly("fires, but not each time"));
        }
        put(&bench, OPCODE_NOP)?;
        bench.cpu.set_debug(&GuestDebug { step: true, block_interrupts: true, ..EXITS })?;
        match bench.resume()? {
            Exit::Debug { pc, .. } if pc == address + NOP => {}
            exit => return Ok(bench.odd(&exit)),
        }
        put(&bench, OPCODE_INT3)?;
        bench.cpu.set_debug(&EXITS)?;
        times.push(start.elapsed());
    }
    bench.expect_done()?;
    let cost = times.into_iter().collect::<Samples>().median();
    Ok(Outcome::works("fires each time, and the instruction is stepped over").costing(cost))
}

/// An INT3 of the guest's own exits, and the guest is then given its #BP.
pub(super) fn of_the_guest(test_guest: &TestGuest) -> Tested<Outcome> {
    const TIMES: u64 = 3;
    let (mut bench, address) = test_guest.kernel_loop(TIMES, CodeAssembler::int3)?;
    // The handler keeps its return address, and counts.
    bench.handle(BP, |a| {
        a.mov(rax, qword_ptr(rsp))?;
        a.mov(qword_ptr(DATA), rax)?;
        a.inc(qword_ptr(DATA + 8))?;
        a.iretq()
    })?;
    let word = |bench: &Bench, at: u64| bench.vm.memory().read_u64(at);
    bench.vm.memory().write(DATA, &[0; 16])?;
    bench.cpu.set_debug(&EXITS)?;
    for count in 1..=TIMES {
        expect_int3(&mut bench, address)?;
        if word(&bench, DATA + 8)? != count - 1 {
            return Ok(Outcome::partly("exits, but the handler ran before"));
        }
        bench.cpu.raise_breakpoint(&EXITS)?;
    }
    bench.expect_done()?;
    let (back, count) = (word(&bench, DATA)?, word(&bench, DATA + 8)?);
    Ok(if count != TIMES {
        Outcome::partly(format!("the guest's handler ran {count} times of {TIMES}"))
    } else if back != address + NOP {
        Outcome::partly(format!("the guest's handler returns to {back:#x}"))
    } else {
        Outcome::works("exits, and the guest's handler runs as without jitterbug")
    })
}

fn expect_int3(bench: &mut Bench, address: u64) -> Tested<()> {
    match bench.resume()? {
        Exit::Int3 { pc } if pc == address => Ok(()),
        exit => Err(bench.odd(&exit).into()),
    }
}
