//! The claim: `hunt` gives the true verdict on each case that a user reported, or about which a
//! verdict was once wrong.

use crate::harness::jitterbug;
use crate::scratch::{Folder, ScratchFile};

tests! {
    Kvm: a_wait_with_a_time_out_ends, a_loop_is_said_to_wait_for_what_it_reads, a_kernel_that_idles_is_quiet,
        what_cr8_masks_does_not_come, a_boot_cpu_that_spins_leaves_the_others_alone, a_lock_that_is_never_given_back_hangs;
    QuickKvm: what_a_handler_loses_is_explained, what_overlaps_is_told_as_a_whole,
        a_cause_is_named_where_good_runs_idle, all_that_it_takes_is_told;
}

/// A case's image, as a file.
pub(crate) fn image(name: &str) -> ScratchFile {
    let case = guests::case(name).unwrap_or_else(|| panic!("no case {name}"));
    ScratchFile::new(&format!("{name}.elf"), case.image)
}

fn a_wait_with_a_time_out_ends() {
    jitterbug("hunt --cpus 2 --runs 30 --verify")
        .arg(&*image("tscloop"))
        .within(90)
        .ends_with(0)
        .shows("")
        .says(&["0 failed, 0 cut short, 0 not repeatable"]);
}

fn a_loop_is_said_to_wait_for_what_it_reads() {
    let out = Folder::new();
    let report = jitterbug("hunt --cpus 2 --runs 10 --json --out")
        .arg(&*out)
        .arg(&*image("waits"))
        .ends_with(1)
        .json();
    let finding = &report["findings"][0]["finding"];
    assert_eq!(finding["verdict"], "proven hang");
    let values = finding["waits"][0]["values"].as_array().unwrap();
    let variables: Vec<_> = values.iter().map(|value| value["variable"].as_str()).collect();
    assert_eq!(variables, [Some("second")]);
}

fn a_kernel_that_idles_is_quiet() {
    jitterbug("hunt --cpus 2 --runs 30")
        .arg(&*image("idle"))
        .within(90)
        .ends_with(0)
        .shows("")
        .says(&["0 failed, 0 cut short"]);
    // The user may require more than that the guest idles.
    let out = Folder::new();
    jitterbug("hunt --cpus 2 --runs 10 --ok never --out")
        .arg(&*out)
        .arg(&*image("idle"))
        .ends_with(1)
        .shows("")
        .says(&["proven hang in run 0"]);
}

fn what_cr8_masks_does_not_come() {
    jitterbug("hunt --cpus 2 --runs 300")
        .arg(&*image("masked"))
        .within(90)
        .ends_with(0)
        .shows("")
        .says(&["0 failed, 0 cut short"]);
    jitterbug("hunt --cpus 2 --runs 30 --granularity instruction --verify")
        .arg(&*image("masked"))
        .within(90)
        .ends_with(0)
        .shows("")
        .says(&["0 failed, 0 cut short, 0 not repeatable"]);
}

/// A hang that is rare by chance: it takes four orders, whether the report names them in the cause
/// or as further orders.
fn all_that_it_takes_is_told() {
    let (out, image) = (Folder::new(), image("ring"));
    let report = jitterbug("hunt --cpus 4 --seed 1 --explain --json --out")
        .arg(&*out)
        .arg(&*image)
        .within(120)
        .ends_with(1)
        .json();
    let cause = &report["explanation"];
    let count = |list: &str| cause[list].as_array().expect("a list").len();
    assert!(count("pairs") >= 2 && count("pairs") + count("conditions") == 4, "{cause:#}");
}

fn a_boot_cpu_that_spins_leaves_the_others_alone() {
    let (out, image) = (Folder::new(), image("priv"));
    let report = jitterbug("hunt --cpus 2 --runs 50 --json --out")
        .arg(&*out)
        .arg(&*image)
        .within(90)
        .ends_with(1)
        .json();
    let found = &report["findings"][0];
    assert_eq!(found["finding"]["verdict"], "the guest's failure code 1");
    assert_eq!(found["finding"]["waits"][0]["waits_for"], "endless");
    assert_eq!(report["cut_short"], 0);
    let file = found["file"].as_str().unwrap();
    jitterbug("replay").arg(file).ends_with(0).shows("").says(&["reproduced"]);
}

fn a_lock_that_is_never_given_back_hangs() {
    let out = Folder::new();
    let report = jitterbug("hunt --cpus 2 --runs 1 --json --out")
        .arg(&*out)
        .arg(&*image("stuck"))
        .within(90)
        .ends_with(1)
        .json();
    let finding = &report["findings"][0]["finding"];
    assert_eq!(finding["verdict"], "proven hang");
    let (waiter, owner) = (&finding["waits"][0], &finding["waits"][1]);
    assert_eq!(waiter["values"][0]["variable"], "big_lock");
    let writer = waiter["values"][0]["last_writer"].as_str().unwrap();
    assert!(writer.contains("by vCPU 1 in lock"), "{writer}");
    assert_eq!(owner["waits_for"], "endless");
    assert!(owner["stack"].as_str().unwrap().contains("ap+"), "{owner}");
}

/// The first sentence of the explanation of the first failure, for each of these seeds.
fn summaries(case: &str, seeds: std::ops::RangeInclusive<u64>) -> Vec<String> {
    let (image, cpus) = (image(case), guests::case(case).unwrap().cpus);
    let summary = |seed: u64| {
        let out = Folder::new();
        let report = jitterbug("hunt --explain --json --cpus")
            .arg(cpus.to_string())
            .arg("--seed")
            .arg(seed.to_string())
            .arg("--out")
            .arg(&*out)
            .arg(&*image)
            .within(100)
            .ends_with(1)
            .json();
        report["explanation"]["summary"][0].as_str().unwrap().to_owned()
    };
    seeds.map(summary).collect()
}

/// The handler runs twice: its first run must not be taken for the vCPU's own program.
fn what_a_handler_loses_is_explained() {
    for summary in summaries("lost-ipi", 1..=3) {
        assert_eq!(
            summary,
            "vCPU 1's update of `mailbox` in `call_remote` (lost-ipi.c:15) fell between vCPU 2's handler's \
             read and store in `call_handler` (lost-ipi.c:8, lost-ipi.c:9)."
        );
    }
}

fn what_overlaps_is_told_as_a_whole() {
    for summary in summaries("overlap", 1..=3) {
        let whole = summary
            .contains("'s two updates of `owners` in `critical` (overlap.c:3) fell between")
            || summary.starts_with("What vCPU 0 and vCPU 1 do to `owners` overlaps: ");
        assert!(whole, "{summary}");
    }
}

/// The shortest failing schedule has no switch. So a schedule that passes is searched for, and its
/// run ends quiet.
fn a_cause_is_named_where_good_runs_idle() {
    for summary in summaries("priv", 1..=2) {
        assert!(
            summary.contains("'s read of `c` in `inc` (priv.c:4) came before vCPU"),
            "{summary}"
        );
    }
}
