//! The claim: the script of 2012, byte for byte, prints once a second where each vCPU of a hung
//! guest is, as it did then.

use std::collections::BTreeMap;
use std::fs;

use crate::harness::{Finished, jitterbug};
use crate::symbols::function_at;

tests! {
    Nothing: it_is_kept_byte_for_byte;
    Kvm: strict_vp_refuses_it;
    QuickKvm: it_shows_the_hang;
}

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../probes/scripts/one-good-probe.vp");

const README: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md");

/// The script as it is in the issue.
const SCRIPT: &str = r#"(defstring stack)
(VProbe VMM1Hz
   (gueststack stack)
      (printf "CPUD: %d Stack: %sn" VCPUID stack))
"#;

fn it_is_kept_byte_for_byte() {
    let kept = fs::read(PATH).expect("the script");
    assert_eq!(String::from_utf8_lossy(&kept), SCRIPT);
    let readme = fs::read_to_string(README).expect("the README");
    assert!(readme.contains(SCRIPT), "the README shows another script");
}

fn strict_vp_refuses_it() {
    jitterbug("run tsc-sync --strict-vp --probe").arg(PATH).ends_with(2).shows("").says(&[
        "VProbe",
        "one-good-probe.vp:2:2",
        "--strict-vp",
    ]);
}

/// The lines of one vCPU.
#[derive(Default)]
struct Stacks {
    /// The stacks as addresses, innermost first.
    addresses: Vec<Vec<u64>>,
    /// The line below each stack.
    names: Vec<String>,
}

fn it_shows_the_hang() {
    let run = jitterbug("run tsc-sync --cpus 6 --jitter boot --until-failure --probe")
        .arg(PATH)
        .within(90)
        .ends_with(1)
        .shows("tsc-sync: starting 6 CPUs\n");

    let warnings: Vec<_> = run.lines_with("Warning:").collect();
    assert_eq!(warnings.len(), 1, "{run}");
    assert!(warnings[0].contains("line 4"), "{run}");
    assert!(run.stderr.contains("one-good-probe.vp:4:34"), "{run}");

    let stacks = stacks(&run);
    let waiting: Vec<u32> = (0..6).filter(|&vcpu| is_waiting_for_sipi(&run, vcpu)).collect();
    let started: Vec<u32> = (0..6).filter(|vcpu| !waiting.contains(vcpu)).collect();
    assert!(started.len() >= 2, "{run}");
    // There is one stack for each vCPU that was started, and none for the others.
    assert_eq!(stacks.keys().copied().collect::<Vec<_>>(), started, "{run}");

    let seconds = seconds_of_the_failed_run(&run);
    for (vcpu, stacks) in &stacks {
        let rounds = stacks.names.len();
        assert!(rounds >= 2, "vCPU {vcpu} has {rounds} stacks: {run}");
        assert!(rounds.abs_diff(seconds as usize) <= 1, "{rounds} stacks in {seconds} s: {run}");
        for (addresses, names) in stacks.addresses.iter().zip(&stacks.names) {
            agree(addresses, names);
        }
    }

    let last = |vcpu: u32| stacks[&vcpu].names.last().expect("two at least").as_str();
    assert!(last(0).starts_with("tsc_sync_master+"), "{run}");
    assert!(last(0).contains(" < start_other_cpus+"), "{run}");
    let stuck: Vec<u32> =
        started.iter().copied().filter(|&vcpu| last(vcpu).contains("mp_startup_signal")).collect();
    assert_eq!(stuck.len(), 1, "{run}");
    assert_ne!(stuck, [0], "{run}");
}

/// Reads the script's lines. Each must be complete and be followed by the same stack with names.
fn stacks(run: &Finished) -> BTreeMap<u32, Stacks> {
    let mut stacks = BTreeMap::<u32, Stacks>::new();
    // The warning, which quotes the script, comes first.
    let mut lines = run.stderr.lines().skip_while(|line| *line != "---'");
    while let Some(line) = lines.next() {
        if !line.contains("CPUD") && !line.contains("GUEST_") {
            continue;
        }
        let (vcpu, addresses) = script_line(line).unwrap_or_else(|| panic!("`{line}`: {run}"));
        let names = lines.next().and_then(|line| line.strip_prefix("    "));
        let names = names.unwrap_or_else(|| panic!("no names below `{line}`: {run}"));
        let of = stacks.entry(vcpu).or_default();
        of.addresses.push(addresses);
        of.names.push(names.into());
    }
    stacks
}

/// Reads a line `CPUD: N Stack: GUEST_0x…(_0x…)*`, and nothing else.
fn script_line(line: &str) -> Option<(u32, Vec<u64>)> {
    let (vcpu, stack) = line.strip_prefix("CPUD: ")?.split_once(" Stack: GUEST_")?;
    let addresses: Option<Vec<u64>> = stack
        .split('_')
        .map(|word| u64::from_str_radix(word.strip_prefix("0x")?, 16).ok())
        .collect();
    Some((vcpu.parse().ok()?, addresses?))
}

/// Checks that the names are those of the image's symbol table.
fn agree(addresses: &[u64], names: &str) {
    let names: Vec<&str> = names.split(" < ").collect();
    assert_eq!(addresses.len(), names.len(), "{names:?}");
    for (number, (&address, name)) in addresses.iter().zip(names).enumerate() {
        // A return address may be after the function's last instruction.
        let inside = if number == 0 { address } else { address - 1 };
        let function = function_at("tsc-sync", inside).expect("code");
        assert!(name.starts_with(&format!("{function}+0x")), "{address:#x} is {function}: {name}");
    }
}

fn is_waiting_for_sipi(run: &Finished, vcpu: u32) -> bool {
    run.lines_with(&format!("vCPU {vcpu}: ")).any(|line| line.contains("waits for its SIPI"))
}

fn seconds_of_the_failed_run(run: &Finished) -> f64 {
    let line = run.lines_with("  seed ").next().unwrap_or_else(|| panic!("no summary: {run}"));
    let time = line.rsplit_once("after ").and_then(|(_, time)| time.strip_suffix(" s"));
    time.and_then(|time| time.parse().ok()).unwrap_or_else(|| panic!("no time: {run}"))
}
