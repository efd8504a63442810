//! The claim: stacks are also shown with names, from the guest's own symbols, from those of another
//! file, or not at all.

use object::read::elf::ElfFile64;
use object::{Object, ObjectSymbol, SymbolKind};

use crate::harness::{Finished, Invocation, jitterbug};
use crate::image;
use crate::scratch::ScratchFile;

tests! {
    Kvm: of_the_guest_itself, of_another_file, none_at_all, of_a_guest_in_a_file,
        a_guest_without_symbols, a_bad_file_is_refused, damaged_debug_data_is_survived;
}

const STACKS: &str = r#"(defstring s) (vprobe VMM10Hz (gueststack s) (printf "S %s\n" s))"#;

/// The function of a guest that has this address.
pub(crate) fn function_at(guest: &str, address: u64) -> Option<String> {
    let elf: ElfFile64 = ElfFile64::parse(image::guest(guest)).expect("an ELF file");
    elf.symbols()
        .filter(|symbol| symbol.kind() == SymbolKind::Text || symbol.size() == 0)
        .filter(|symbol| symbol.address() <= address)
        .max_by_key(|symbol| (symbol.address(), symbol.size()))
        .and_then(|symbol| symbol.name().ok().map(str::to_owned))
}

fn spin() -> Invocation {
    jitterbug("run spin --cpus 1").probe(STACKS)
}

/// The line below the last stack.
fn names_in(run: &Finished) -> &str {
    assert!(run.lines_with("S GUEST_0xfffffffffb8").count() >= 3, "{run}");
    run.lines_with("    ").last().unwrap_or_else(|| panic!("no names: {run}"))
}

fn of_the_guest_itself() {
    let run = spin().until_it_reports("    spin_inner+0x", 3);
    assert!(names_in(&run).starts_with("spin_inner+0x"), "{run}");
}

fn of_another_file() {
    let own = ScratchFile::new("own.elf", image::guest("spin"));
    let run = spin().arg("--symbols").arg(&*own).until_it_reports("    spin_inner+0x", 3);
    assert!(names_in(&run).starts_with("spin_inner+0x"), "{run}");
    let other = ScratchFile::new("other.elf", image::guest("tsc-sync"));
    let run = spin().arg("--symbols").arg(&*other).until_it_reports("S GUEST_0xfffffffffb8", 3);
    assert!(!names_in(&run).contains("spin_inner"), "{run}");
}

fn none_at_all() {
    let run = spin().arg("--symbols").arg("none").until_it_reports("S GUEST_0xfffffffffb8", 3);
    assert!(run.lines_with("S GUEST_0xfffffffffb8").count() >= 3, "{run}");
    assert_eq!(run.lines_with("    ").count(), 0, "{run}");
    assert!(!run.stderr.contains("spin_"), "{run}");
}

fn of_a_guest_in_a_file() {
    let file = ScratchFile::new("some-kernel", image::guest("spin"));
    let run = jitterbug("run --cpus 2").arg(&*file).probe(STACKS);
    let run = run.until_it_reports("    spin_inner+0x", 3);
    assert!(names_in(&run).starts_with("spin_inner+0x"), "{run}");
}

fn a_guest_without_symbols() {
    let run = jitterbug("run --watchdog off").image(&image::halt()).probe(STACKS);
    let run = run.until_it_reports("S GUEST_0x10000", 3);
    assert!(run.lines_with("S GUEST_0x10000").count() >= 3, "{run}");
}

fn a_bad_file_is_refused() {
    let text = ScratchFile::new("notes.txt", "no symbols here\n");
    let cases = [
        (text.to_str().expect("UTF-8"), "neither an ELF file nor a listing"),
        ("/nonexistent/kernel", "No such file"),
        ("/tmp", "Is a directory"),
    ];
    for (path, problem) in cases {
        spin().arg("--symbols").arg(path).ends_with(2).shows("").says(&[
            "--symbols",
            path,
            problem,
        ]);
    }
}

/// Wherever the file is truncated after the loaded part, the guest boots; at worst it has no names.
fn damaged_debug_data_is_survived() {
    let whole = image::guest("hello");
    let loaded = image::loaded_end(whole);
    for part in 0..=8 {
        let length = loaded + (whole.len() - loaded) * part / 8;
        let file = ScratchFile::new("cut.elf", &whole[..length]);
        let probe = r#"(defstring s) (vprobe VMMUnload (gueststack s) (printf "S %s\n" s))"#;
        let run = jitterbug("run").arg(&*file).probe(probe).ends_with(0);
        assert!(run.stdout.starts_with("hello: 1 vCPUs up"), "{length}: {run}");
    }
}
