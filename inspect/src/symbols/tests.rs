use object::{Object, ObjectSymbol};
use proptest::prelude::*;

use super::*;
use crate::stack::Stack;
use crate::test_guest::{TSC_SYNC, tsc_sync_symbols};

const TEXT: u64 = 0xffff_ffff_fb85_4000;
const DATA: u64 = 0xffff_ffff_fb85_6000;

#[test]
fn functions_with_and_without_size() {
    let symbols = tsc_sync_symbols();
    for (offset, expected) in [
        (0, Some(("tsc_sync_master", 0))),
        (0x2a, Some(("tsc_sync_master", 0x2a))),
        (0x2b, Some(("mp_start_cpu_common", 0))),
        (0x3f, Some(("mp_start", 0))),
        (0x48, Some(("mp_start", 9))),
        (0x49, Some(("mp_idle", 0))),
        (0x4b, Some(("mp_idle", 2))),
        (0x4c, None),
        (-1_i64 as u64, None),
    ] {
        assert_eq!(symbols.function(TEXT.wrapping_add(offset)), expected, "{offset:#x}");
    }
    assert_eq!(symbols.function(0), None);
    assert_eq!(symbols.function(u64::MAX), None);
    assert_eq!(symbols.function(DATA), None);
}

#[test]
fn variables() {
    let symbols = tsc_sync_symbols();
    assert_eq!(symbols.data(DATA + 0x20), Some(("tsc_ready", 0)));
    assert_eq!(symbols.data(DATA + 0x18), Some(("tsc_state", 0x18)));
    assert_eq!(symbols.data(DATA + 0x26), Some(("counter", 2)));
    assert_eq!(symbols.data(DATA + 0x2c), None);
    assert_eq!(symbols.data(TEXT), None);
}

#[test]
fn lines() {
    let symbols = tsc_sync_symbols();
    assert_eq!(symbols.line_problem(), None);
    let line = symbols.line(TEXT + 0x0b).expect("a line");
    assert_eq!(line, Line { file: "/usr/src/uts/tsc_sync.c".into(), line: 17 });
    assert_eq!(symbols.line(0x1000), None);
}

#[test]
fn return_addresses_are_looked_up_at_their_calls() {
    let symbols = tsc_sync_symbols();
    // The call in mp_start is its last instruction, and mp_idle begins right after it.
    let stack = Stack::new(&[TEXT + 0x49, TEXT + 0x49, 0x10], Some(&symbols));
    assert_eq!(stack.to_string(), "mp_idle+0x0 (start.S:8) < mp_start+0xa (start.S:6) < 0x10");
    assert_eq!(
        serde_json::to_string(&stack.frames[1]).expect("JSON"),
        r#"{"address":"0xfffffffffb854049","function":"mp_start","offset":10,"file":"/usr/src/uts/start.S","line":6}"#
    );
    assert_eq!(Stack::new(&[1, 2], None).to_string(), "0x1 < 0x2");
}

#[test]
fn threads_share_symbols() {
    fn shared<T: Send + Sync>(_: &T) {}
    shared(&*tsc_sync_symbols());
}

// Inlined, it would have no symbol.
#[inline(never)]
#[test]
fn this_very_program_has_functions_and_lines() {
    let path = std::env::current_exe().expect("a path");
    let bytes = std::fs::read(path).expect("a file");
    let name = "this_very_program_has_functions_and_lines";
    let address = {
        let file = object::File::parse(&*bytes).expect("ELF");
        let mut found = file
            .symbols()
            .filter(|symbol| symbol.size() > 0 && symbol.name().is_ok_and(|n| n.contains(name)));
        found.next().expect("a symbol").address()
    };
    let symbols = Symbols::from_elf("self", bytes).expect("symbols");
    assert!(symbols.function(address + 1).is_some_and(|(n, at)| n.contains(name) && at == 1));
    let line = symbols.line(address).expect("a line");
    assert!(line.line > 0);
}

#[test]
fn files_that_give_nothing_say_what_is_wrong() {
    let problem = |bytes: &[u8]| match Symbols::from_elf("vmunix", bytes) {
        Ok(_) => panic!("accepted"),
        Err(error) => error.to_string(),
    };
    assert!(problem(b"").starts_with("symbols of vmunix: not a readable ELF file: "));
    assert!(problem(b"#!/bin/sh\n").starts_with("symbols of vmunix: not a readable ELF file: "));
    assert!(problem(&TSC_SYNC[..100]).starts_with("symbols of vmunix: not a readable ELF file: "));
    // No section headers: e_shoff and e_shnum are 0.
    let mut stripped = TSC_SYNC.to_vec();
    stripped[0x28..0x30].fill(0);
    stripped[0x3c..0x40].fill(0);
    assert!(problem(&stripped).contains("no symbol table"));
}

/// Uses every look-up on a file that may be damaged.
fn use_all(bytes: Vec<u8>) {
    let Ok(symbols) = Symbols::from_elf("damaged", bytes) else { return };
    for address in [0, TEXT, TEXT + 0x20, TEXT + 0x49, DATA + 0x20, u64::MAX] {
        symbols.function(address);
        symbols.data(address);
        symbols.line(address);
    }
    symbols.line_problem();
}

#[test]
fn truncated_files_are_survived() {
    for length in (0..TSC_SYNC.len()).step_by(37) {
        use_all(TSC_SYNC[..length].to_vec());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn damaged_files_are_survived(
        damage in proptest::collection::vec((0..TSC_SYNC.len(), any::<u8>()), 1..20),
    ) {
        let mut bytes = TSC_SYNC.to_vec();
        for (at, byte) in damage {
            bytes[at] = byte;
        }
        use_all(bytes);
    }

    #[test]
    fn damaged_debug_sections_are_survived(
        damage in proptest::collection::vec((0x2000..0x2a00_usize, any::<u8>()), 1..8),
    ) {
        let mut bytes = TSC_SYNC.to_vec();
        for (at, byte) in damage {
            bytes[at] = byte;
        }
        use_all(bytes);
    }
}

#[test]
fn a_linux_listing() {
    let symbols = Symbols::from_file(
        "System.map",
        b"ffffffff81000000 T _stext\nffffffff81000100 t do_it [module]\nffffffff81800000 D jiffies\n\
          0000000000000000 A per_cpu\n                 U undefined\nnonsense\n"
            .as_slice(),
    )
    .expect("a listing");
    assert_eq!(symbols.function(0xffff_ffff_8100_0104), Some(("do_it", 4)));
    assert_eq!(symbols.data(0xffff_ffff_8180_0000), Some(("jiffies", 0)));
    assert_eq!(symbols.address("jiffies"), Some(0xffff_ffff_8180_0000));
    assert_eq!((symbols.address("per_cpu"), symbols.address("x")), (None, None));
    assert_eq!(symbols.nearest("jifies").as_deref(), Some("jiffies"));
    assert_eq!(symbols.line_problem().as_deref(), Some("a listing of symbols has no line numbers"));
}

#[test]
fn windbg_listings_of_both_sizes() {
    for (text, address) in [
        ("fffff800`02a5c1d0 nt!KeBugCheck = <no type information>\n", 0xffff_f800_02a5_c1d0),
        ("804d9ae0          nt!KeBugCheck = <no type information>\n", 0x804d_9ae0),
    ] {
        let symbols = Symbols::from_listing("x", text).expect("a listing");
        assert_eq!(symbols.address("nt!KeBugCheck"), Some(address));
        assert_eq!(symbols.function(address + 1), Some(("nt!KeBugCheck", 1)));
    }
}

#[test]
fn a_listing_that_shows_nothing_says_why() {
    let error =
        Symbols::from_listing("kallsyms", "0000000000000000 T _stext\n").expect_err("zeros");
    assert!(error.to_string().contains("kernel.kptr_restrict"), "{error}");
    let error = Symbols::from_file("notes", b"no symbols here\n".as_slice()).expect_err("text");
    assert!(error.to_string().contains("neither an ELF file nor a listing"), "{error}");
}
