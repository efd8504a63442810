use proptest::prelude::*;
use vmm::memory::Memory;
use vmm::registers::SystemRegisters;

use super::*;
use crate::linux::test_kernel::{
    CODE_END, FORMS, Form, HANDLER, IMAGE, SYMBOLS, guest, kernel, put, symbols, tables,
};

fn find(memory: &Memory, system: &SystemRegisters) -> Option<Kallsyms> {
    Kallsyms::find(&View::new(system, memory), HANDLER)
}

#[test]
fn each_order_of_the_tables_is_read() {
    for form in FORMS {
        let (memory, system) = kernel(form);
        let found = find(&memory, &system).unwrap_or_else(|| panic!("{form:?}"));
        let found: Vec<_> = found
            .all()
            .iter()
            .map(|it| (it.address, format!("{}{}", char::from(it.kind), it.name)))
            .collect();
        // A table without absolute symbols can't have the one for per-CPU data.
        let skipped = usize::from(form == Form::Plain);
        assert_eq!(found, symbols()[skipped..], "{form:?}");
    }
}

/// The tables with a change.
fn changed(form: Form, change: impl FnOnce(&mut Vec<(u64, String)>)) -> Option<Kallsyms> {
    let (memory, system) = guest();
    let mut symbols = symbols();
    change(&mut symbols);
    put(&memory, SYMBOLS, &tables(form, &symbols));
    find(&memory, &system)
}

#[test]
fn long_names_have_two_bytes_of_length() {
    let long = format!("t{}", "n".repeat(300));
    let found = changed(Form::Behind, |symbols| symbols[100].1 = long.clone()).expect("tables");
    assert_eq!(*found.all()[100].name, long[1..]);
}

#[test]
fn tables_that_do_not_agree_with_the_kernel_are_refused() {
    for form in FORMS {
        let at = |name: &str| symbols().iter().position(|it| it.1 == name).expect("a symbol");
        // Of another kernel: its handler is elsewhere.
        let handler = at("Tasm_exc_page_fault");
        assert!(changed(form, |symbols| symbols[handler].0 += 1).is_none(), "{form:?}");
        assert!(changed(form, |symbols| symbols[handler].1 = "Tother".into()).is_none());
        // Not sorted.
        assert!(changed(form, |symbols| symbols[50].0 += 0x1000).is_none(), "{form:?}");
        // Without an end of the code, or the handler is outside of it.
        assert!(changed(form, |symbols| symbols[at("T_etext")].1 = "Tother".into()).is_none());
        // A name that can't be one.
        assert!(changed(form, |symbols| symbols[50].1 = "9digit".into()).is_none(), "{form:?}");
        assert!(changed(form, |symbols| symbols[50].1 = "t".into()).is_none(), "{form:?}");
    }
}

#[test]
fn a_mark_or_a_number_that_is_wrong_is_seen() {
    for form in FORMS {
        let good = tables(form, &symbols());
        let count = symbols().len() - usize::from(form == Form::Plain);
        let count = (count as u64).to_le_bytes();
        let number = good.windows(8).position(|bytes| bytes == count).expect("the number");
        for at in [number, number + 8] {
            let (memory, system) = guest();
            let mut bytes = good.clone();
            bytes[at] ^= 1;
            put(&memory, SYMBOLS, &bytes);
            assert!(find(&memory, &system).is_none(), "{form:?} {at}");
        }
    }
}

#[test]
fn the_code_ends_at_its_end() {
    let (memory, system) = kernel(Form::Before);
    let finder = crate::linux::Finder::default();
    let kernel = finder.kernel(&system, &memory).expect("a kernel");
    let symbols = kernel.symbols();
    assert_eq!(symbols.function(IMAGE + 0x15), Some(("function_0", 5)));
    assert_eq!(symbols.function(HANDLER), Some(("asm_exc_page_fault", 0)));
    assert_eq!(symbols.function(CODE_END - 1), Some(("last_function", 0xff)));
    assert_eq!(symbols.function(CODE_END), None);
    assert_eq!(symbols.function(IMAGE - 1), None);
    assert_eq!(symbols.data(IMAGE + 0x9001), Some(("linux_banner", 1)));
    assert_eq!(symbols.address("current_task"), None);
}

proptest! {
    #[test]
    fn any_damage_is_survived(
        form in proptest::sample::select(&FORMS[..]),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..40),
    ) {
        let (memory, system) = guest();
        let mut bytes = tables(form, &symbols());
        for (index, value) in changes {
            let index = index.index(bytes.len());
            bytes[index] = value;
        }
        put(&memory, SYMBOLS, &bytes);
        if let Some(found) = find(&memory, &system) {
            // What is accepted is whole and in order.
            prop_assert!(found.all().len() > 256);
            prop_assert!(found.all().is_sorted_by_key(|symbol| symbol.address));
        }
    }

    #[test]
    fn any_bytes_around_digits_are_survived(
        bytes in proptest::collection::vec(any::<u8>(), 0..8192),
        digits in proptest::collection::vec(0_u64..0x18_0000, 1..100),
    ) {
        let (memory, system) = guest();
        for at in digits {
            put(&memory, IMAGE + 0x8000 + at, &bytes);
            put(&memory, IMAGE + 0x8000 + at, DIGITS);
        }
        prop_assert!(find(&memory, &system).is_none());
    }
}
