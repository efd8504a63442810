//! An NMI and an interrupt that are pending at the same time.

use iced_x86::code_asm::*;

use crate::choice::{Choice, Point};
use crate::controlled::test_guest::{DATA, END, Guest, LAPIC, SHARED};
use crate::end::End;

const VECTOR: u8 = 0x41;
/// What the guest ends with, plus what the handler of the interrupt had counted when the NMI came.
const CODE: u32 = 0x40;

/// A vCPU sends itself an interrupt and an NMI, and waits until both have been served. What the
/// handler of the interrupt does first is to count in private data. If a handler brought the trap
/// flag back, the guest would end by its debug exception.
pub(in crate::controlled) fn guest(twice: bool) -> Guest {
    let guest = Guest::new(|a| {
        let mut wait = a.create_label();
        a.mov(rsi, LAPIC)?;
        a.mov(dword_ptr(rsi + 0xf0), 0x1ff)?;
        a.mov(dword_ptr(rsi + 0x310), 0)?;
        a.sti()?;
        a.mov(dword_ptr(rsi + 0x300), 0x4000 | u32::from(VECTOR))?;
        a.mov(dword_ptr(rsi + 0x300), 0x4400)?;
        a.set_label(&mut wait)?;
        a.cmp(dword_ptr(SHARED), if twice { 3 } else { 2 })?;
        a.jne(wait)?;
        a.mov(eax, dword_ptr(SHARED + 8))?;
        a.add(eax, CODE)?;
        a.out(END, eax)
    });
    guest
        .handle(VECTOR, |a| {
            a.inc(dword_ptr(DATA))?;
            a.inc(dword_ptr(SHARED))?;
            a.mov(dword_ptr(rsi + 0xb0), 0)?;
            a.iretq()
        })
        .handle(2, move |a| {
            let mut done = a.create_label();
            a.push(rax)?;
            if twice {
                // Another NMI, which has to wait for the end of this one.
                a.inc(dword_ptr(DATA + 8))?;
                a.cmp(dword_ptr(DATA + 8), 1)?;
                a.jne(done)?;
                a.mov(dword_ptr(rsi + 0x300), 0x4400)?;
                a.cmp(dword_ptr(DATA + 8), 1)?;
                a.jne(done)?;
            }
            a.mov(eax, dword_ptr(DATA))?;
            a.mov(dword_ptr(SHARED + 8), eax)?;
            a.set_label(&mut done)?;
            a.inc(dword_ptr(SHARED))?;
            a.pop(rax)?;
            a.iretq()
        })
}

/// Runs the guest. The vCPU takes the interrupt as soon as it can: behind the access that sends the
/// NMI. `walks`: every step is made by single steps.
fn run(guest: &Guest, walks: bool) -> End {
    let mut machine = guest.machine();
    let mut choose = |point: &Point| {
        let interrupt = point.enabled.iter().find(|choice| matches!(choice, Choice::Interrupt(_)));
        *interrupt.unwrap_or(&point.enabled[0])
    };
    if !walks {
        return machine.run(&mut choose, 10_000).unwrap();
    }
    for _ in 0..10_000 {
        if let Some(end) = machine.walk(&mut choose, u64::MAX).unwrap().ending {
            return end;
        }
    }
    panic!("the guest does not end");
}

#[test]
fn the_nmi_comes_where_the_handler_of_the_interrupt_begins() {
    assert_eq!(run(&guest(false), false), End::Guest { code: CODE });
}

#[test]
fn another_nmi_waits_for_the_end_of_the_first() {
    assert_eq!(run(&guest(true), false), End::Guest { code: CODE });
}

#[test]
fn single_steps_change_nothing() {
    assert_eq!(run(&guest(false), true), End::Guest { code: CODE });
    assert_eq!(run(&guest(true), true), End::Guest { code: CODE });
}
