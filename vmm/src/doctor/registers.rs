//! Self-tests of register access: by an ioctl each time, or in the run page at each exit.

use std::time::{Duration, Instant};

use iced_x86::code_asm::{al, rbx};
use kvm_bindings::{KVM_CAP_SYNC_REGS, KVM_SYNC_X86_REGS, KVM_SYNC_X86_SREGS};
use kvm_ioctls::SyncReg;

use super::bench::Bench;
use super::layout::{CODE, MARK};
use super::outcome::{Cost, Outcome, Samples, Tested};
use super::test_guest::TestGuest;
use crate::error::Error;

const REPETITIONS: usize = 100;
const VALUE: u64 = 0x1234_5678_9abc;

fn marks(test_guest: &TestGuest) -> Tested<Bench> {
    test_guest.kernel(|a| {
        let mut again = a.create_label();
        a.mov(rbx, VALUE)?;
        a.set_label(&mut again)?;
        a.out(u32::from(MARK), al)?;
        a.jmp(again)
    })
}

/// `KVM_GET_REGS` after an exit.
pub(super) fn get_regs(test_guest: &TestGuest) -> Tested<Outcome> {
    let mut bench = marks(test_guest)?;
    let mut sample = || -> Tested<Duration> {
        bench.expect_port(MARK)?;
        let start = Instant::now();
        bench.cpu.fd().get_regs().map_err(refused)?;
        Ok(start.elapsed())
    };
    let times = (0..REPETITIONS).map(|_| sample()).collect::<Tested<Samples>>()?;
    Ok(Outcome::works("a call for each exit whose registers are wanted").costing(times.median()))
}

fn refused(errno: kvm_ioctls::Error) -> Error {
    Error::Kvm { call: "KVM_GET_REGS", source: errno.into() }
}

/// The cost of a port exit with no registers, with the general-purpose registers, and with the
/// system registers, too, in the run page.
#[derive(Clone, Copy, Debug)]
pub(super) struct SyncCosts(pub(super) [Cost; 3]);

/// Measures the three costs alternately, so that variations of the host affect all three alike.
pub(super) fn sync_costs(test_guest: &TestGuest, repetitions: usize) -> Tested<SyncCosts> {
    let mut bench = marks(test_guest)?;
    let mut times = [Vec::new(), Vec::new(), Vec::new()];
    for _ in 0..repetitions {
        for (wanted, times) in times.iter_mut().enumerate() {
            let fd = bench.cpu.fd();
            for (register, needs) in [(SyncReg::Register, 1), (SyncReg::SystemRegister, 2)] {
                if wanted >= needs {
                    fd.set_sync_valid_reg(register);
                } else {
                    fd.clear_sync_valid_reg(register);
                }
            }
            times.push(bench.time_to_port(MARK)?);
        }
    }
    Ok(SyncCosts(times.map(|times| times.into_iter().collect::<Samples>().median())))
}

/// `KVM_CAP_SYNC_REGS`: the run page has the registers at each exit, and changes to it take effect.
pub(super) fn sync(test_guest: &TestGuest) -> Tested<Outcome> {
    const BOTH: u32 = KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS;
    let kinds = test_guest.host.capability(KVM_CAP_SYNC_REGS) as u32;
    if kinds & KVM_SYNC_X86_REGS == 0 {
        return Ok(Outcome::missing("the capability is absent"));
    }
    let mut bench = marks(test_guest)?;
    bench.cpu.fd().set_sync_valid_reg(SyncReg::Register);
    bench.expect_port(MARK)?;
    if bench.cpu.fd().sync_regs().regs.rbx != VALUE {
        return Ok(Outcome::silent("accepted, never fires: the run page holds other values"));
    }
    // Back to the start of the code with another RBX, which the code then replaces.
    let registers = &mut bench.cpu.fd().sync_regs_mut().regs;
    (registers.rbx, registers.rip) = (0, CODE);
    bench.cpu.fd().set_sync_dirty_reg(SyncReg::Register);
    bench.expect_port(MARK)?;
    let back = bench.cpu.fd().sync_regs().regs.rbx;
    if back != VALUE {
        return Ok(Outcome::partly("registers are read, but writing them is lost"));
    }
    if kinds & BOTH != BOTH {
        return Ok(Outcome::partly("general registers only"));
    }
    let SyncCosts([none, general, system]) = sync_costs(test_guest, REPETITIONS)?;
    let detail = format!("a port exit: {none} without, {general} with, {system} with SREGS too");
    Ok(Outcome::works(detail).costing(general.above(none)))
}
