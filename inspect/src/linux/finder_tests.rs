use vmm::registers::SystemRegisters;

use super::*;
use crate::linux::test_kernel::{Form, SYMBOLS, guest, kernel, put, symbols, tables};

#[test]
fn a_kernel_is_found_once_and_again_when_another_one_runs() {
    let finder = Finder::default();
    assert!(finder.found().is_none());
    let (memory, system) = kernel(Form::Before);
    let first = finder.kernel(&system, &memory).expect("a kernel");
    let again = finder.kernel(&system, &memory).expect("a kernel");
    assert!(Arc::ptr_eq(&first, &again));
    assert!(Arc::ptr_eq(&first, &finder.found().expect("the same")));
    // The same kernel is now 4 KiB further on.
    let (other, moved) = (kernel(Form::Before).0, 0x1000);
    let symbols: Vec<_> = symbols().into_iter().map(|(at, name)| (at + moved, name)).collect();
    put(&other, SYMBOLS, &tables(Form::Whole, &symbols));
    let handler = crate::linux::test_kernel::HANDLER + moved;
    put(&other, system.idt.base + 14 * 16, &(handler as u16).to_le_bytes());
    let second = finder.kernel(&system, &other).expect("a kernel");
    assert!(!Arc::ptr_eq(&first, &second));
}

#[test]
fn a_kernel_without_symbols_is_sought_once_in_a_while() {
    let finder = Finder::default();
    let (memory, system) = guest();
    assert!(finder.kernel(&system, &memory).is_none());
    put(&memory, SYMBOLS, &tables(Form::Before, &symbols()));
    assert!(finder.kernel(&system, &memory).is_none(), "the search was repeated at once");
    if let Some((_, at)) = &mut finder.0.lock().expect("no panic").missed {
        *at = at.checked_sub(PAUSE).expect("a time");
    }
    assert!(finder.kernel(&system, &memory).is_some());
}

#[test]
fn other_guests_have_no_kernel() {
    let (memory, system) = kernel(Form::Before);
    let without_paging = SystemRegisters { cr0: SystemRegisters::CR0_PE, ..system };
    assert!(Finder::default().kernel(&without_paging, &memory).is_none());
    let mut elsewhere = system;
    elsewhere.idt.base = u64::MAX;
    assert!(Finder::default().kernel(&elsewhere, &memory).is_none());
    elsewhere.idt.base = system.idt.base + 0x20;
    assert!(Finder::default().kernel(&elsewhere, &memory).is_none());
}

#[test]
fn a_program_under_page_table_isolation_does_not_hide_the_kernel() {
    let (memory, system) = kernel(Form::Before);
    // The second table maps only the page of the interrupt descriptor table.
    let tables = system.cr3;
    let index = |shift: u32| (system.idt.base >> shift & 0x1ff) * 8;
    let write = |at: u64, value: u64| memory.write(at, &value.to_le_bytes()).expect("RAM");
    // Move the kernel's own tables to an even page, followed by those for programs.
    let (own, second, upper) = (0x11_0000, 0x11_1000, 0x11_2000);
    write(own + index(39), (tables + 0x1000) | 3);
    write(second + index(39), upper | 3);
    write(upper + index(30), (upper + 0x1000) | 3);
    write(upper + 0x1000 + index(21), (upper + 0x2000) | 3);
    write(upper + 0x2000 + index(12), (0x20_0000 + 0x1f_f000) | 3);
    let program = SystemRegisters { cr3: second, ..system };
    assert!(Finder::default().kernel(&program, &memory).is_some());
}
