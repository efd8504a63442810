//! Functions that read the guest.

use super::*;
use crate::testing::{KERNEL, put_kernel, tsc_sync_guest};

#[test]
fn getguest_reads_8_bytes_and_an_absent_page_cancels_the_firing() {
    let (lines, notices) = in_guest(
        "(printf \"%x\\n\" (getguest 0xfffffffffb800100)) (printf \"%x\\n\" (getguest 0x1000))
         (printf \"not reached\\n\")",
    );
    assert_eq!(lines, ["67202c6f6c6c6568"]);
    assert_eq!(notices.len(), 1);
    assert!(
        notices[0].starts_with(
            "test.vp:1:107: guest address 0x1000 can't be read: not mapped: its level-4 page-table \
             entry isn't present; this firing of VMMLoad is cancelled"
        ),
        "{}",
        notices[0]
    );
    // The last 8 bytes can be read; 8 bytes from one byte further on can't.
    let (lines, notices) = in_guest("(printf \"%x\\n\" (getguest 0xfffffffffb9ffff8))");
    assert_eq!((lines.len(), notices.len()), (1, 0));
    let (lines, notices) = in_guest("(printf \"%x\\n\" (getguest 0xfffffffffb9ffff9))");
    assert_eq!((lines.len(), notices.len()), (0, 1));
    let (_, notices) = in_guest("(getguest 0x8000000000000000)");
    assert!(notices[0].contains("not a canonical address"), "{}", notices[0]);
}

#[test]
fn getgueststr_in_all_its_forms() {
    let (lines, notices) = in_guest(
        "(getgueststr s 5 0xfffffffffb800100) (printf \"%s\\n\" s)
         (getgueststr s 99999 0xfffffffffb800100) (printf \"%s\\n\" s)
         (getgueststr s 0xfffffffffb800107) (printf \"%s\\n\" s)
         (getgueststr s 0 0xfffffffffb800107) (printf \"<%s>\\n\" s)
         (getgueststr s 255 0xfffffffffb9ffffc) (printf \"%s\\n\" s)",
    );
    assert_eq!(lines, ["hello", "hello, guest", "guest", "<>", "end"]);
    assert!(notices.is_empty());
    // A string must have its NUL before the end of the mapped memory.
    let (_, notices) =
        in_guest("(getgueststr s 255 0xfffffffffb9fffff) (getgueststr s 2 0xfffffffffb9fffff)");
    assert!(notices.is_empty());
    let (_, notices) = in_guest("(getgueststr s 255 0xfffffffffba00000)");
    assert_eq!(notices.len(), 1);
}

#[test]
fn physical_addresses() {
    let (lines, notices) = in_guest(
        "(printf \"%x\\n\" (getguestphys 0x200100)) (getguestphysstr s 5 0x200100)
         (printf \"%s\\n\" s) (getguestphys 0xffffffffffffffff)",
    );
    assert_eq!(lines, ["67202c6f6c6c6568", "hello"]);
    assert!(notices[0].contains("guest-physical address 0xffffffffffffffff can't be read"));
}

#[test]
fn symbols_in_double_quotes() {
    let symbols = crate::testing::tsc_sync_symbols();
    let options = Options { symbols: Some(symbols.clone()), ..Options::default() };
    let script = load_for(
        "(defstring s) (vprobe VMMLoad (printf \"%x\\n\" (getguest \"tsc_ready\"))
         (printf \"%s %s\\n\" (symname (+ RIP 2)) (symname 5)))",
        &options,
    );
    let mut bench = Bench::new(&script);
    let (memory, system) = tsc_sync_guest();
    let address = symbols.address("tsc_ready").expect("a symbol");
    put_kernel(&memory, address, &0x1234_u64.to_le_bytes());
    bench.cpu.registers.rip = symbols.address("tsc_sync_master").expect("a symbol");
    (bench.memory, bench.cpu.system) = (memory, system);
    bench.run(Duration::ZERO);
    assert_eq!(bench.script_lines(), ["1234", "tsc_sync_master+0x2 0x5"]);
    let text = "(vprobe VMMLoad (getguest \"tsc_raedy\"))";
    let error = crate::Script::load(&[crate::Source::new("t.vp", text)], &options);
    let text = error.expect_err("no symbol").to_string();
    assert!(text.contains("tsc_sync.elf has no symbol tsc_raedy"), "{text}");
    assert!(text.contains("did you mean tsc_ready?"), "{text}");
}

#[test]
fn registers_by_number() {
    let (lines, notices) = in_guest(
        "(printf \"%x %x %x\\n\" (getgpr REG_RBP) (getgpr 4) (readmsr 0xc0000080)) (getgpr 18)",
    );
    assert_eq!(lines, ["fffffffffb9f0000 fffffffffb9effe0 1c0000080"]);
    assert!(notices[0].contains("there is no register number 18"), "{}", notices[0]);
}

#[test]
fn code_is_scanned_for_offsets() {
    let code = [
        // mov %gs:0x188,%rax; mov 0x2e8(%rax),%rax; ret
        0x65, 0x48, 0x8b, 0x04, 0x25, 0x88, 0x01, 0x00, 0x00, 0x48, 0x8b, 0x80, 0xe8, 0x02, 0x00,
        0x00, 0xc3, // lea 0x5c0(%rbx),%rsi; call +0 (0x...21c); ret
        0x48, 0x8d, 0xb3, 0xc0, 0x05, 0x00, 0x00, 0xe8, 0x00, 0x00, 0x00, 0x00, 0xc3,
    ];
    let mut bench = Bench::new(&load(
        "(vprobe VMMLoad (printf \"%#x %#x %#x\\n\" (offatret 0xfffffffffb800200)
           (offatseg 0xfffffffffb800200) (offatstrcpy 0xfffffffffb800211 0xfffffffffb80021d))
           (offatstrcpy 0xfffffffffb800211 5))",
    ));
    put_kernel(&bench.memory, KERNEL + 0x200, &code);
    bench.run(Duration::ZERO);
    let lines = bench.finish();
    assert_eq!(lines[0].text(), "0x2e8 0x188 0x5c0");
    assert!(
        lines[1]
            .text()
            .contains("the code at 0xfffffffffb800211 doesn't tell: that function isn't"),
        "{}",
        lines[1].text()
    );
}
