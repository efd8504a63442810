//! Self-tests of memory slots: read-only slots, logged slots, and the cost of changing slots.

use std::time::{Duration, Instant};

use iced_x86::code_asm::{CodeAssembler, al, dword_ptr, eax, ebx, qword_ptr, r10, rax, rbx};

use super::bench::Bench;
use super::exits::present;
use super::layout::{DONE, MARK, SPARE, SPARE_SIZE, WINDOW};
use super::outcome::{Outcome, Samples, Tested};
use super::test_guest::{Assembled, TestGuest, done};
use crate::error::Result;
use crate::exit::{Bytes, Entry, Exit};
use crate::kvm::slots::{Slot, Stores};
use crate::kvm::{Irqchip, Vm};
use crate::memory::PAGE_SIZE;

const SLOT: Slot =
    Slot { number: 8, address: WINDOW, source: SPARE, size: PAGE_SIZE, stores: Stores::Plain };

/// A read-only slot: loads don't exit; stores exit and change nothing.
pub(super) fn read_only(test_guest: &TestGuest) -> Tested<Outcome> {
    present(test_guest.host.has_read_only_slots())?;
    let mut bench = test_guest.machine(Irqchip::None, |a| {
        a.mov(eax, dword_ptr(WINDOW))?;
        a.out(u32::from(MARK), eax)?;
        a.mov(ebx, 0x0102_0304)?;
        a.mov(dword_ptr(WINDOW), ebx)?;
        a.inc(dword_ptr(WINDOW))?;
        a.mov(eax, dword_ptr(WINDOW))?;
        a.out(u32::from(DONE), eax)
    })?;
    let content = 0x7788_99aa_u32;
    bench.vm.memory().write(SPARE, &content.to_le_bytes())?;
    bench.vm.add_slot(&Slot { stores: Stores::Exit, ..SLOT })?;
    expect_port(&mut bench, MARK, content)?;
    bench.expect(Entry::Resume, &stored(&0x0102_0304_u32.to_le_bytes()))?;
    bench.expect(Entry::Resume, &stored(&(content + 1).to_le_bytes()))?;
    expect_port(&mut bench, DONE, content)?;
    Ok(Outcome::works("stores exit, loads don't"))
}

fn stored(bytes: &[u8]) -> Exit {
    Exit::MmioWrite { address: WINDOW, data: Bytes::from_slice(bytes) }
}

fn expect_port(bench: &mut Bench, port: u16, value: u32) -> Tested<()> {
    let data = Bytes::from_slice(&value.to_le_bytes());
    bench.expect(Entry::Resume, &Exit::PortWrite { port, size: 4, data })
}

/// Adds a slot and removes it, in a running machine.
pub(super) fn change(test_guest: &TestGuest) -> Tested<Outcome> {
    let mut bench = test_guest.machine(Irqchip::None, |a| {
        a.out(u32::from(MARK), al)?;
        a.mov(rax, qword_ptr(WINDOW))?;
        done(a)
    })?;
    bench.expect_port(MARK)?;
    let sample = || -> Result<Duration> {
        let start = Instant::now();
        bench.vm.add_slot(&SLOT)?;
        bench.vm.remove_slot(&SLOT)?;
        Ok(start.elapsed())
    };
    let times = (0..20).map(|_| sample()).collect::<Result<Samples>>()?;
    bench.vm.add_slot(&SLOT)?;
    bench.vm.memory().write(SPARE, &[0x77])?;
    Ok(match bench.expect_port(DONE)? {
        0x77 => Outcome::works("pages can be watched and released at run time"),
        _ => Outcome::partly("a slot added at run time shows other bytes"),
    }
    .costing(times.median()))
}

/// The number of pages that the dirty log's guest stores to, and the number of repetitions.
const PAGES: u64 = 53;
const ROUNDS: usize = 20;

/// Stores to some pages, fetches the log, and copies exactly those pages back.
pub(super) fn dirty_log(test_guest: &TestGuest) -> Tested<Outcome> {
    let logged = Slot { size: SPARE_SIZE, stores: Stores::Logged, ..SLOT };
    let mut bench = test_guest.machine(Irqchip::None, |a| store_to_pages(a, PAGES))?;
    bench.vm.add_slot(&logged)?;
    let clean = vec![0; PAGE_SIZE as usize];
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        bench.expect_port(MARK)?;
        let start = Instant::now();
        let reset = reset(&bench.vm, &logged, &clean)?;
        times.push(start.elapsed());
        if reset != PAGES {
            let detail = format!("logs {reset} pages where {PAGES} were stored to");
            return Ok(if reset == 0 { Outcome::silent(detail) } else { Outcome::partly(detail) });
        }
    }
    let times: Samples = times.into_iter().collect();
    let detail = format!("resets {PAGES} dirty pages in that time");
    Ok(Outcome::works(detail).costing(times.median()))
}

fn store_to_pages(a: &mut CodeAssembler, pages: u64) -> Assembled {
    let mut again = a.create_label();
    let mut page = a.create_label();
    a.set_label(&mut again)?;
    a.mov(r10, pages)?;
    a.mov(rbx, WINDOW)?;
    a.set_label(&mut page)?;
    a.mov(qword_ptr(rbx), r10)?;
    a.add(rbx, PAGE_SIZE as i32)?;
    a.dec(r10)?;
    a.jnz(page)?;
    a.out(u32::from(MARK), al)?;
    a.jmp(again)
}

fn reset(vm: &Vm, slot: &Slot, clean: &[u8]) -> Result<u64> {
    let mut pages = 0;
    for (index, word) in vm.take_dirty_log(slot)?.into_iter().enumerate() {
        for bit in (0..64).filter(|bit| word >> bit & 1 != 0) {
            vm.memory().write(slot.source + (index as u64 * 64 + bit) * PAGE_SIZE, clean)?;
            pages += 1;
        }
    }
    Ok(pages)
}
