//! The claim: a fault that is asked for happens where the search chooses and nowhere else, what it
//! does is told, and its finding replays. A guest that must survive it does.

use serde_json::Value;

use crate::cases::image;
use crate::harness::jitterbug;
use crate::scratch::Folder;

tests! {
    Kvm: every_fault_strikes_and_is_survived, every_fault_breaks_a_guest_that_trusts, without_faults_it_never_fails,
        an_exhausted_search_has_tried_the_faults, a_fault_without_an_occasion_is_an_error, each_place_in_turn,
        runs_do_not_depend_on_each_other, an_init_at_the_wrong_time_is_no_error_of_the_machine, pairs_of_places,
        a_bit_of_memory_changes, what_a_sweep_says, a_sweep_of_nothing_is_an_error, misuse_is_named;
}

/// A fault of each kind, as the two guests get to see it.
const FAULTS: [&str; 8] = [
    "ipi-drop:mode=fixed",
    "ipi-delay:mode=fixed",
    "ipi-duplicate:mode=fixed",
    "ipi-misroute:mode=fixed",
    "ipi-reorder:mode=fixed",
    "irq-drop",
    "irq-spurious:vcpu=1,vector=0x21",
    "nmi",
];

/// The report of a search with this fault. The folder has its findings, and their guest.
fn hunt(guest: &str, fault: &str, runs: u32, status: i32) -> (Value, Folder) {
    let out = Folder::new();
    let kernel = out.join("guest.elf");
    std::fs::copy(&*image(guest), &kernel).expect("a copy");
    let report =
        jitterbug(&format!("hunt --cpus 3 --json --verify --runs {runs} --fault {fault} --out"))
            .arg(&*out)
            .arg(&kernel)
            .within(120)
            .ends_with(status)
            .json();
    (report, out)
}

fn every_fault_strikes_and_is_survived() {
    for fault in FAULTS {
        let (report, _) = hunt("doorbell", fault, 40, 0);
        let tally = &report["faults"][0];
        assert_eq!(tally["fault"], fault);
        assert!(tally["struck"].as_u64() > Some(10), "{fault}: {tally}");
        assert!(tally["possible"].as_u64() >= tally["struck"].as_u64(), "{fault}: {tally}");
    }
}

fn every_fault_breaks_a_guest_that_trusts() {
    for fault in FAULTS {
        let (report, _out) = hunt("doorbell-strict", fault, 2000, 1);
        let found = &report["findings"][0];
        let finding = &found["finding"];
        let effects = finding["faults"].as_array().unwrap();
        assert_eq!(effects.len(), 1, "{fault}: {finding}");
        // Without faults this guest never fails.
        assert_eq!(effects[0]["without"], "passes", "{fault}: {finding}");
        assert_eq!(finding["machine"]["faults"][0], fault);
        let schedule = finding["schedule"].as_str().unwrap();
        assert!(schedule.contains("~1"), "{fault}: {schedule}");
        let file = found["file"].as_str().unwrap();
        jitterbug("replay").arg(file).ends_with(0).says(&["reproduced"]);
        is_explained(fault, file);
    }
}

/// The explanation of a guest that only a fault breaks says that the failure needs the fault.
fn is_explained(fault: &str, finding: &str) {
    // Behind which IPI one comes that is held back is a matter of chance: 41 of 100 runs fail.
    let is_rare = fault.starts_with("ipi-reorder");
    let explained = jitterbug("explain --json").arg(finding).within(120);
    let report = explained.ends_with(i32::from(is_rare)).json();
    let [tested] = &report["faults"].as_array().unwrap()[..] else { panic!("{fault}: {report}") };
    let failed = |rate: &Value| rate["failed"].as_u64().unwrap();
    assert_eq!(failed(&tested["without"]), 0, "{fault}: {report}");
    assert!(failed(&report["forced"]) >= if is_rare { 10 } else { 99 }, "{fault}: {report}");
    let summary = report["summary"].as_array().unwrap().last().unwrap().as_str().unwrap();
    assert!(summary.contains("The failure needs this fault") != is_rare, "{fault}: {summary}");
    let shortest = finding.replace(".finding", "-shortest.finding");
    jitterbug("replay").arg(shortest).ends_with(0).says(&["reproduced", "fault: at point"]);
}

fn without_faults_it_never_fails() {
    jitterbug("hunt --cpus 3 --runs 300 --keep-going")
        .arg(&*image("doorbell-strict"))
        .within(120)
        .ends_with(0)
        .says(&["300 runs", "0 failed, 0 cut short"]);
}

/// One vCPU that gets an NMI: the run without it, and one for each of its scheduling points.
fn an_exhausted_search_has_tried_the_faults() {
    let alone = jitterbug("hunt hello --strategy round-robin --json").ends_with(0).json();
    let out = Folder::new();
    let report = jitterbug("hunt hello --fault nmi --keep-going --json --out")
        .arg(&*out)
        .within(120)
        .ends_with(1)
        .json();
    assert_eq!(report["exhausted"], true);
    let points = alone["points"].as_u64().unwrap();
    assert_eq!(report["distinct"].as_u64(), Some(points + 1), "{points}");
}

fn a_fault_without_an_occasion_is_an_error() {
    jitterbug("hunt hello --runs 5 --fault irq-drop")
        .ends_with(2)
        .says(&["--fault irq-drop: it never struck, because there was no occasion for it in"]);
}

fn each_place_in_turn() {
    let out = Folder::new();
    jitterbug("hunt --cpus 3 --faults ipi-drop:1 --out")
        .arg(&*out)
        .arg(&*image("doorbell-strict"))
        .ends_with(1)
        .says(&[
            "the IPI with vector 0x31 from vCPU 0 to vCPU 1 was lost, in send_ipi",
            "the SIPI from vCPU 0 to vCPU 1 was lost, in start_ap",
            "ipi-drop: 4 of 6 places fail",
            "7 runs",
        ]);
}

/// A run that ends early leaves vCPUs in the middle of what they do. The next one must not see it.
fn runs_do_not_depend_on_each_other() {
    let hashes = |jobs: u32| {
        let out = Folder::new();
        let search = "hunt irq-mainline-fixed --fault irq-spurious:vector=0x21 --keep-going --verify --runs 60";
        let report = jitterbug(&format!("{search} --jobs {jobs} --json --out"))
            .arg(&*out)
            .within(120)
            .ends_with(1)
            .json();
        assert_eq!(report["diverged"], 0);
        report["hashes"].clone()
    };
    assert_eq!(hashes(1), hashes(3));
}

/// A vCPU that an INIT has reset waits for a SIPI, whatever it was about to do.
fn an_init_at_the_wrong_time_is_no_error_of_the_machine() {
    for search in [
        "tsc-sync-fixed --fault ipi-delay:mode=init,for=5us",
        "ap-stack-fixed --fault ipi-delay:mode=init,for=5us",
        "hello --cpus 2 --fault ipi-misroute:mode=init",
        "hello --cpus 2 --fault ipi-reorder",
    ] {
        let out = Folder::new();
        let (_, run) = jitterbug(&format!("hunt {search} --keep-going --verify --runs 60 --out"))
            .arg(&*out)
            .within(120)
            .start()
            .ends_with_any(&[0, 1]);
        assert!(!run.stderr.contains("internal-error"), "{run}");
        assert!(run.stderr.contains(" 0 not repeatable"), "{run}");
    }
}

fn pairs_of_places() {
    jitterbug("hunt --cpus 3 --faults ipi-drop:2,mode=fixed")
        .arg(&*image("doorbell"))
        .ends_with(0)
        .says(&["0 of 3 places fail", "pairs of places fail"]);
}

fn what_a_sweep_says() {
    let (out, kernel) = (Folder::new(), image("doorbell-strict"));
    let report = jitterbug("hunt --cpus 3 --json --faults ipi-drop --out")
        .arg(&*out)
        .arg(&*kernel)
        .ends_with(1)
        .json();
    let level = &report["levels"][0];
    assert_eq!((level["places"].as_u64(), level["failed"].as_u64()), (Some(6), Some(4)));
    assert_eq!(report["complete"], true);
    let sites = report["sites"].as_array().unwrap();
    assert_eq!(sites.len(), 4);
    for site in sites {
        let file = site["files"][0].as_str().unwrap();
        jitterbug("replay").arg(file).ends_with(0).says(&["reproduced"]);
    }
}

fn a_sweep_of_nothing_is_an_error() {
    jitterbug("hunt hello --faults ipi-drop")
        .ends_with(2)
        .says(&["--faults ipi-drop: the run without a fault gives no occasion for it in"]);
}

fn misuse_is_named() {
    let cases = [
        ("--fault ipi-dorp", "`ipi-dorp` is no fault: there are ipi-drop, ipi-delay"),
        ("--fault ipi-drop:for=1ms", "`ipi-drop` has no `for`"),
        ("--cpus 2 --fault nmi:vcpu=2", "there is no vCPU 2: the machine has 2"),
        ("--granularity instruction --fault ipi-drop", "leave out --granularity instruction"),
        ("--faults ipi-drop --keep-going", "cannot be used with"),
        ("--fault ipi-drop --strategy round-robin", "lets no fault strike"),
        ("--schedule 0~1", "the machine has no such fault"),
    ];
    for (arguments, message) in cases {
        jitterbug(&format!("hunt hello {arguments}")).ends_with(2).says(&[message]);
    }
}

fn a_bit_of_memory_changes() {
    let (report, _) = hunt("doorbell", "bit-flip:symbol=work_done,bit=5", 40, 0);
    assert!(report["faults"][0]["struck"].as_u64() > Some(10), "{report}");
    let (report, _out) = hunt("doorbell-strict", "bit-flip:symbol=urgent,bit=0", 2000, 1);
    let found = &report["findings"][0];
    let finding = &found["finding"];
    assert_eq!(finding["faults"][0]["without"], "passes", "{finding}");
    let told = finding["faults"][0]["what"].as_str().unwrap();
    assert!(told.starts_with("bit 0 of the memory at 0x"), "{told}");
    jitterbug("replay")
        .arg(found["file"].as_str().unwrap())
        .ends_with(0)
        .says(&["reproduced", "bit 0 of the memory at 0x"]);
    // Where it doesn't strike, the run is the one without it.
    let hashes = |options: &str, status| {
        jitterbug(&format!("hunt --cpus 3 --schedule 0@1 --json {options}"))
            .arg(&*image("doorbell-strict"))
            .ends_with(status)
            .json()["hashes"]
            .clone()
    };
    let plain = hashes("", 0);
    assert!(plain.is_string() || plain.is_number(), "{plain}");
    assert_eq!(hashes("--fault bit-flip:symbol=urgent,bit=0", 2), plain);
    jitterbug("hunt hello --fault bit-flip:address=0x1000").ends_with(2).says(&["which bit?"]);
    jitterbug("hunt hello --fault msr-fail:msr=0x1b").ends_with(2).says(&["no such fault"]);
}
