//! The claim: where data watchpoints work, `run` uses them for the guest's data if they can tell
//! what a script uses. Each access fires once, with what a trapped page would tell; other data on
//! the same page costs nothing, and may be code; what can't be told is said.

use iced_x86::code_asm::registers::gpr32::{eax, ebx, ecx, edi};
use iced_x86::code_asm::{CodeAssembler, byte_ptr, dword_ptr};

use crate::harness::{Finished, jitterbug};
use crate::image::{self, Image};
use crate::points::figure;

tests! {
    Nothing: trapped_pages_are_asked_for_in_vain;
    Kvm: the_same_counts_by_trapped_pages;
    KvmWithWatchpoints: each_access_of_one_vcpu, each_access_of_several_vcpus,
        other_data_costs_nothing, beside_breakpoints, when_pages_are_trapped,
        what_can_not_be_told, strings_that_repeat;
}

/// How often the guest's loop is executed.
const ROUNDS: u64 = 50;
/// Watched data on the page of the guest's code, and its neighbour.
const DATA: u32 = 0x10_0800;
const NEIGHBOUR: u32 = DATA + 4;
const IN_USE: &str = "INFO watching the guest's data plan=data watchpoints";
const NOT_IN_USE: &str = "INFO watching the guest's data plan=trapped pages: ";

/// A guest that does this in a loop, with the number of remaining rounds in ECX. The NOPs before
/// it make sure that the instruction before each place is found.
fn rounds(body: impl FnOnce(&mut CodeAssembler) -> Result<(), iced_x86::IcedError>) -> Image {
    let image = Image::new(|a| {
        (0..80).try_for_each(|_| a.nop())?;
        let mut again = a.create_label();
        a.mov(ecx, ROUNDS as u32)?;
        a.set_label(&mut again)?;
        body(a)?;
        a.dec(ecx)?;
        a.jnz(again)?;
        image::end_run(a, 0)
    });
    Image { size: 0x1000, ..image }
}

/// Two loads and two stores of the data, and many accesses of its neighbour, in each round.
fn accesses() -> Image {
    rounds(|a| {
        a.mov(dword_ptr(DATA), ecx)?;
        a.add(dword_ptr(NEIGHBOUR), 1)?;
        a.mov(eax, dword_ptr(DATA))?;
        a.lock().inc(dword_ptr(DATA))?;
        a.mov(eax, dword_ptr(NEIGHBOUR))
    })
}

fn count(run: &Finished, what: &str) -> u64 {
    figure(run, &format!("  n[\"{what}\"] == count "))
}

/// The sum of the exits for watched data over all vCPUs.
fn exits(command: &str, script: &str) -> u64 {
    let report = jitterbug(&format!("run --json {command}")).probe(script).ends_with(0).json();
    let vcpus = report["boots"][0]["vcpus"].as_array().expect("vCPUs").clone();
    vcpus.iter().map(|vcpu| vcpu["watching"]["exits"].as_u64().expect("a count")).sum()
}

fn each_access_of_one_vcpu() {
    let place = format!("{DATA:#x}:4");
    let run = jitterbug("run -v").image(&accesses()).probe(&format!(
        r#"aggr n[0][1]; aggr at[1]; aggr size[1];
           GUEST:READ:{place} {{ n["read"] = count(); at[ARG0] = count(); size[ARG1] = count(); }}
           GUEST:WRITE:{place} {{ n["write"] = count(); at[ARG0] = count(); size[ARG1] = count(); }}"#
    ));
    let run = run.ends_with(0).says(&[IN_USE, "2 of 4 debug registers"]);
    assert_eq!((count(&run, "read"), count(&run, "write")), (2 * ROUNDS, 2 * ROUNDS), "{run}");
    assert_eq!(figure(&run, &format!("  at[{DATA:#x}] == count ")), 4 * ROUNDS, "{run}");
    assert_eq!(figure(&run, "  size[0x4] == count "), 4 * ROUNDS, "{run}");
    assert!(!run.stderr.contains("jitterbug: data watchpoints"), "{run}");
    // With one vCPU, the value that was stored is known: the rounds, and one more than that.
    let run = jitterbug("run -v")
        .image(&accesses())
        .probe(&format!(r#"aggr n[0][1]; GUEST:WRITE:{place} {{ n["value"] = sum(ARG2); }}"#));
    let run = run.ends_with(0).says(&[IN_USE, "1 of 4 debug registers"]);
    let sum = figure(&run, r#"  n["value"] == sum "#);
    assert_eq!(sum, ROUNDS * (ROUNDS + 1) + ROUNDS, "{run}");
}

/// Each of the other vCPUs adds one to `up`, and vCPU 0 waits for them.
fn each_access_of_several_vcpus() {
    let script = r#"aggr n[0][1]; GUEST:WRITE:up { n["write"] = count(); }"#;
    let run = jitterbug("run hello --cpus 4 -v").probe(script).ends_with(0).says(&[IN_USE]);
    assert_eq!(count(&run, "write"), 3, "{run}");
    let script = r#"aggr n[0][1]; aggr by[1]; GUEST:WRITE:counter { n["write"] = count(); }
        GUEST:READ:counter { n[symname(RIP)] = count(); by[VCPUID] = count(); }"#;
    let run = jitterbug("run lost-update-fixed -v").probe(script).ends_with(0).says(&[IN_USE]);
    assert_eq!(count(&run, "write"), 2, "{run}");
    assert_eq!(figure(&run, "  by[0x0] == count "), 2, "{run}");
    assert_eq!(figure(&run, "  by[0x1] == count "), 1, "{run}");
    // RIP is where it is with trapped pages: at a load, and behind a locked instruction.
    let pages = jitterbug("run lost-update-fixed --trap-pages").probe(script).ends_with(0);
    let places = |run: &Finished| {
        let mut lines: Vec<String> = run.lines_with("  n[").map(str::to_owned).collect();
        lines.sort_unstable();
        lines
    };
    assert_eq!(places(&run), places(&pages), "{run}");
}

fn the_same_counts_by_trapped_pages() {
    let script = r#"aggr n[0][1]; GUEST:WRITE:up { n["write"] = count(); }"#;
    let run = jitterbug("run hello --cpus 3 --trap-pages").probe(script).ends_with(0);
    assert_eq!(count(&run, "write"), 2, "{run}");
}

/// vCPU 0 reads `up` all the time.
fn other_data_costs_nothing() {
    let script = "int n; GUEST:WRITE:up { n++; }";
    assert_eq!(exits("hello --cpus 4", script), 3);
    assert!(exits("hello --cpus 4 --trap-pages", script) > 6);
}

/// A breakpoint at an instruction that accesses the data, and one behind it.
fn beside_breakpoints() {
    let image = accesses();
    let start = image.address + 80 + 5; // behind the NOPs and `mov ecx, ROUNDS`
    let probes = format!(
        r#"aggr n[0][1]; GUEST:{start:#x} {{ n["store"] = count(); }}
           GUEST:{:#x} {{ n["behind"] = count(); }} GUEST:READ:{DATA:#x}:4 {{ n["read"] = count(); }}
           GUEST:WRITE:{DATA:#x}:4 {{ n["write"] = count(); }}"#,
        start + 6
    );
    let run = jitterbug("run -v").image(&image).probe(&probes).ends_with(0).says(&[IN_USE]);
    for (what, expected) in [("store", 1), ("behind", 1), ("read", 2), ("write", 2)] {
        assert_eq!(count(&run, what), expected * ROUNDS, "{what}: {run}");
    }
}

fn when_pages_are_trapped() {
    let trapped = |guest: &str, body: &str, reason: &str, expected: u64| {
        let script = format!(r"aggr n[0][1]; {body}");
        let run = jitterbug(&format!("run -v {guest}")).probe(&script).ends_with(0);
        let run = run.says(&[NOT_IN_USE, reason]);
        assert_eq!(count(&run, "write"), expected, "{body}: {run}");
    };
    let guest = "lost-update-fixed";
    let write = r#"n["write"] = count();"#;
    let before = format!("GUEST:WRITE:counter /ARG3 < 9/ {{ {write} }}");
    trapped(guest, &before, "the value before a store is used", 2);
    let value =
        format!("GUEST:WRITE:counter(long at, int bytes, int value) {{ if (value) {write} }}");
    trapped(guest, &value, "with one vCPU only", 2);
    // The other data there is at other addresses.
    let large = format!("GUEST:WRITE:counter:40 /ARG0 == (long)&counter/ {{ {write} }}");
    trapped(guest, &large, "40 bytes are more than 4 debug registers", 2);
    let stops = format!(
        r#"GUEST:WRITE:counter {{ {write} }} GUEST:ENTER:main {{ n["main"] = count(); }}
           GUEST:EXIT:add_one {{ n["exit"] = count(); }}"#
    );
    trapped(guest, &stops, "2 debug registers are needed, and 1 are left beside", 2);
    let places = format!("GUEST:WRITE:counter {{ {write} }}");
    let criteria = format!("{guest} --fail-at main+0x3 --fail-at main+0x4 --fail-at main+0x5");
    let run = jitterbug(&format!("run -v {criteria}")).probe(&format!("aggr n[0][1]; {places}"));
    let (_, run) = run.start().ends_with_any(&[0, 1]);
    assert!(run.stderr.contains(NOT_IN_USE), "{run}");
}

/// The instruction overwrites the register that has the address.
fn what_can_not_be_told() {
    let image = rounds(|a| {
        a.mov(ebx, DATA)?;
        a.mov(ebx, dword_ptr(ebx))?;
        a.mov(ebx, DATA)?;
        a.mov(dword_ptr(ebx), ecx)
    });
    let read = format!(r#"aggr n[0][1]; GUEST:READ:{DATA:#x}:4 {{ n["read"] = count(); }}"#);
    // What is known to be a store is no read, and the rest is said to be missing.
    let run = jitterbug("run").image(&image).probe(&read).ends_with(0);
    run.says(&[&format!("of {ROUNDS} accesses it isn't known whether they read"), "never fired"]);
    let both = format!(
        r#"{read} aggr size[1];
           GUEST:WRITE:{DATA:#x}:4 {{ n["write"] = count(); size[ARG1] = count(); }}"#
    );
    let run = jitterbug("run").image(&image).probe(&both).ends_with(0);
    let run = run.says(&[&format!("of {ROUNDS} accesses the instruction isn't known")]);
    assert_eq!((count(&run, "read"), count(&run, "write")), (ROUNDS, ROUNDS), "{run}");
    assert_eq!(figure(&run, "  size[0x4] == count "), ROUNDS, "{run}");
    assert!(!run.stderr.contains("it isn't known whether they read"), "{run}");
}

fn strings_that_repeat() {
    let image = rounds(|a| {
        a.mov(ebx, ecx)?;
        a.mov(edi, DATA)?;
        a.mov(ecx, 4)?;
        a.rep().stosb()?;
        a.mov(ecx, ebx)?;
        a.mov(byte_ptr(NEIGHBOUR), 0)
    });
    let script = format!(r#"aggr n[0][1]; GUEST:WRITE:{DATA:#x}:4 {{ n["write"] = count(); }}"#);
    let run = jitterbug("run").image(&image).probe(&script).ends_with(0);
    let writes = count(&run, "write");
    assert!((ROUNDS..=4 * ROUNDS).contains(&writes), "{run}");
    run.says(&[&format!("{writes} accesses by repeated string instructions may each stand")]);
}

fn trapped_pages_are_asked_for_in_vain() {
    jitterbug("run hello --trap-pages").ends_with(2).says(&["--trap-pages: there is no script"]);
}
