//! What the cases in tests/scripts can't say: counts of firings, the clock, machines with more than
//! one kind of probe, and what is in the guest.

use std::time::Duration;

use crate::Options;
use crate::testing::{Bench, KERNEL, lines_of, load, load_for, put_kernel, tsc_sync_guest};

#[test]
fn recursion_is_bounded_and_cancels_only_its_firing() {
    let script = load(
        "(defun f (n) (f (+ n 1))) (vprobe VMMLoad (printf \"in\\n\") (f 0) (printf \"out\\n\"))
         (vprobe VMMLoad (printf \"next\\n\"))",
    );
    let mut bench = Bench::new(&script);
    bench.run(Duration::ZERO);
    let counts = bench.session.counts();
    assert_eq!((counts[0].cancelled, counts[1].cancelled), (1, 0));
    let lines = bench.finish();
    let texts: Vec<_> = lines.iter().map(crate::OutputLine::text).collect();
    assert_eq!(texts.len(), 3);
    assert_eq!((&*texts[0], &*texts[2]), ("in", "next"));
    assert!(
        texts[1].starts_with("test.vp:1:14: it called too deep: more than 256 calls"),
        "{}",
        texts[1]
    );
}

#[test]
fn getsystemtime_in_both_forms() {
    let clock = crate::engine::Clock::Machine { start: Duration::from_secs(1_000_000) };
    let script = load_for(
        "(definteger t) (vprobe VMM10Hz
           (printf \"%d %d %d\\n\" (getsystemtime) (getsystemtime t) t))",
        &Options { clock, ..Options::default() },
    );
    let mut bench = Bench::new(&script);
    bench.run(Duration::from_millis(250));
    assert_eq!(
        bench.script_lines(),
        ["1000000100000 1 1000000100000", "1000000200000 1 1000000200000"]
    );
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().expect("after 1970").as_micros();
    let lines = lines_of("(vprobe VMMLoad (printf \"%d\\n\" (getsystemtime)))");
    let seen: u128 = lines[0].parse().expect("a number");
    assert!(seen >= now && seen < now + 60_000_000);
}

#[test]
fn a_predicate_decides_whether_it_is_a_firing() {
    let script = load(
        "(definteger n) (vprobe VMM10Hz / (== (% (setint n (+ n 1)) 2) 0) / (printf \"%d\\n\" n))",
    );
    let mut bench = Bench::new(&script);
    bench.run(Duration::from_millis(500));
    let counts = bench.session.counts();
    assert_eq!((counts[0].firings, counts[0].filtered), (2, 3));
    assert_eq!(bench.script_lines(), ["2", "4"]);
}

#[test]
fn a_machine_probe_runs_once_and_has_no_registers() {
    let script = load(
        "(definteger n) (vprobe VMXLoad (printf \"load %d\\n\" NUMVCPUS))
         (vprobe VMX1Hz (setint n (+ n 1)) (printf \"tick %d\\n\" n))
         (vprobe VMM1Hz (setint n (+ n 10)) (printf \"vcpu %d\\n\" n))
         (vprobe VMXUnload (printf \"unload %d\\n\" n) (printf \"%x\\n\" RIP))",
    );
    let mut bench = Bench::new(&script);
    // This isn't the boot processor, so it has no machine probes.
    bench.run(Duration::from_secs(1));
    bench.hook = vmm::hook::Attach::attach(&bench.session, 0, 2);
    bench.run(Duration::from_secs(2));
    let lines = bench.finish();
    let texts: Vec<_> = lines.iter().map(crate::OutputLine::text).collect();
    assert_eq!(
        texts[..7],
        ["vcpu 10", "load 2", "tick 1", "vcpu 10", "tick 2", "vcpu 20", "unload 2"]
    );
    assert!(
        texts[7]
            .contains("RIP belongs to a vCPU, and this probe runs in none (non-vcpu vmx threads)"),
        "{}",
        texts[7]
    );
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
