//! Readers of symbols.

use inspect::Symbols;

use crate::ask;
use crate::inputs::try_all;

#[test]
fn listings_of_symbols() {
    const LINES: &[&str] = &[
        "ffffffff81000000 T _stext",
        "ffffffff81000100 t do_it [module]",
        "0000000000000000 A zero",
        "fffff800`02a5c1d0 nt!KeBugCheck = <no type information>",
        "804d9ae0 nt!Foo",
        "U undefined",
        "",
        "fffffffffffffffff T long",
        "` T x",
        "0 T",
        "ffffffffffffffff T last",
        "ffffffff81800000 D jiffies",
    ];
    try_all(4000, |random| {
        let mut text = String::new();
        for _ in 0..random.below(12) {
            let line: Vec<char> = random.pick(LINES).chars().collect();
            let cut = random.below(line.len() + 12).min(line.len());
            text.extend(line.iter().take(cut));
            text.push_str(random.pick(&["\n", "\r\n", " ", "\t", "T"]));
        }
        match Symbols::from_listing("fuzz", &text) {
            Ok(symbols) => {
                ask::everything(&symbols, random.next());
                true
            }
            Err(error) => error.to_string().is_empty(),
        }
    });
}

#[test]
fn elf_files() {
    let good = include_bytes!("../../testdata/tsc_sync.elf");
    try_all(1500, |random| {
        let mut bytes = good.to_vec();
        for _ in 0..=random.below(8) {
            let at = random.below(bytes.len());
            bytes[at] = random.next() as u8;
        }
        if random.below(4) == 0 {
            bytes.truncate(random.below(bytes.len()));
        }
        match Symbols::from_file("fuzz", bytes) {
            Ok(symbols) => {
                ask::everything(&symbols, random.next());
                true
            }
            Err(error) => error.to_string().is_empty(),
        }
    });
}
