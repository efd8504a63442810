//! Self-tests of interrupts, NMIs and exceptions: whether the guest's handlers run and return.

use std::time::{Duration, Instant};

use iced_x86::code_asm::{al, cl, cr2, dword_ptr, eax, ecx, qword_ptr, rax, rbx, rsp};

use super::bench::data;
use super::layout::{DATA, LAPIC, MARK, UNMAPPED};
use super::outcome::{Outcome, Samples, Tested};
use super::test_guest::{TestGuest, done};
use crate::cpu::Cpu;
use crate::exit::{Bytes, Entry, Exit};

const NMI: u8 = 2;
const UD: u8 = 6;
const PF: u8 = 14;
const IRQ: u8 = 0x31;

/// Without an in-kernel irqchip, accesses to the LAPIC's page exit.
pub(super) fn lapic_page(test_guest: &TestGuest) -> Tested<Outcome> {
    const VERSION: u64 = LAPIC + 0x30;
    const EOI: u64 = LAPIC + 0xb0;
    let mut bench = test_guest.kernel(|a| {
        a.mov(rbx, LAPIC)?;
        a.mov(eax, dword_ptr(rbx + 0x30))?;
        a.mov(dword_ptr(rbx + 0xb0), ecx)?;
        done(a)
    })?;
    bench.expect(Entry::Resume, &Exit::MmioRead { address: VERSION, size: 4 })?;
    let eoi = Exit::MmioWrite { address: EOI, data: Bytes::from_slice(&[0; 4]) };
    bench.expect(data(&[0x14, 0, 5, 0]), &eoi)?;
    bench.expect_done()?;
    Ok(Outcome::works("every IPI, EOI and timer write is ours"))
}

/// The interrupt window exits when the guest enables interrupts, and the handler runs. A host that
/// emulates may check the window only at intervals, so the worst of several tries counts.
pub(super) fn window(test_guest: &TestGuest) -> Tested<Outcome> {
    const TRIES: usize = 5;
    /// Iterations of the guest's loop; a processor opens the window before the first one.
    const PROMPT: u64 = 2;
    const INSTRUCTIONS_A_ROUND: u64 = 3;
    let mut times = Vec::new();
    let mut latest = 0;
    for _ in 0..TRIES {
        let (late, time) = open_window(test_guest)?;
        latest = late.max(latest);
        times.push(time);
    }
    let cost = times.into_iter().collect::<Samples>().median();
    Ok(if latest <= PROMPT {
        Outcome::works("the window exits, the handler runs and returns")
    } else {
        let late = latest * INSTRUCTIONS_A_ROUND;
        Outcome::partly(format!("works, but the window exits up to {late} instructions after STI"))
    }
    .costing(cost))
}

/// The number of iterations of the guest's loop, and the time, until the window opened.
fn open_window(test_guest: &TestGuest) -> Tested<(u64, Duration)> {
    let mut bench = test_guest.kernel(|a| {
        let mut wait = a.create_label();
        a.xor(rbx, rbx)?;
        a.out(u32::from(MARK), al)?;
        a.sti()?;
        a.nop()?;
        a.set_label(&mut wait)?;
        a.inc(rbx)?;
        a.test(cl, cl)?;
        a.jz(wait)?;
        done(a)
    })?;
    bench.spins = true;
    bench.handle(IRQ, |a| {
        a.mov(cl, 1)?;
        a.out(u32::from(MARK), al)?;
        a.iretq()
    })?;
    bench.expect_port(MARK)?;
    if bench.cpu.takes_interrupts() {
        let detail = "says that the guest takes interrupts while it doesn't";
        return Err(Outcome::partly(detail).into());
    }
    bench.cpu.want_interrupt_window(true);
    let start = Instant::now();
    bench.expect(Entry::Resume, &Exit::InterruptWindow)?;
    let cost = start.elapsed();
    let late = bench.cpu.registers()?.rbx;
    bench.cpu.want_interrupt_window(false);
    bench.cpu.interrupt(IRQ)?;
    bench.expect_port(MARK)?;
    if bench.cpu.registers()?.rbx != late {
        return Err(Outcome::partly("an interrupt comes later than it is injected").into());
    }
    bench.expect_done()?;
    Ok((late, cost))
}

/// An NMI reaches a guest that has interrupts disabled, and its handler returns.
pub(super) fn nmi(test_guest: &TestGuest) -> Tested<Outcome> {
    let mut bench = test_guest.kernel(|a| {
        let mut wait = a.create_label();
        a.out(u32::from(MARK), al)?;
        a.set_label(&mut wait)?;
        a.pause()?;
        a.test(cl, cl)?;
        a.jz(wait)?;
        done(a)
    })?;
    bench.handle(NMI, |a| {
        a.mov(cl, 1)?;
        a.out(u32::from(MARK), al)?;
        a.iretq()
    })?;
    bench.spins = true;
    bench.expect_port(MARK)?;
    bench.cpu.nmi()?;
    bench.expect_port(MARK)?;
    bench.expect_done()?;
    Ok(Outcome::works("the handler runs and returns"))
}

/// #UD without and #PF with an error code are delivered by the IDT; the handlers return with IRETQ.
pub(super) fn exceptions(test_guest: &TestGuest) -> Tested<Outcome> {
    let mut bench = test_guest.kernel(|a| {
        a.ud2()?;
        a.out(u32::from(MARK), al)?;
        a.mov(rbx, UNMAPPED)?;
        a.mov(rax, qword_ptr(rbx))?;
        done(a)
    })?;
    bench.handle(UD, |a| {
        const UD2: i32 = 2;
        a.add(qword_ptr(rsp), UD2)?;
        a.iretq()
    })?;
    bench.handle(PF, |a| {
        // Stores CR2, and continues with an address that is mapped.
        a.mov(rax, cr2)?;
        a.mov(qword_ptr(DATA), rax)?;
        a.mov(rbx, DATA)?;
        a.add(rsp, 8)?;
        a.iretq()
    })?;
    bench.expect_port(MARK)?;
    bench.expect_done()?;
    match bench.vm.memory().read_u64(DATA)? {
        UNMAPPED => Ok(Outcome::works("#UD and #PF reach their handlers and return")),
        other => Ok(Outcome::partly(format!("CR2 is {other:#x} instead of {UNMAPPED:#x}"))),
    }
}
