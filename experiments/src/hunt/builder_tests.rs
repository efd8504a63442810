//! Tests of searches that are built in a program.

use std::panic::catch_unwind;

use super::*;

/// The image of a guest, as a file in a folder of its own.
fn kernel(name: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(format!("{name}.elf"));
    let image = guests::case(name).map(|case| case.image);
    let image = image.or_else(|| guests::find(name).map(|guest| guest.image));
    std::fs::write(&path, image.unwrap()).unwrap();
    (folder, path)
}

#[test]
fn a_failure_is_a_panic_with_its_report() {
    let (folder, kernel) = kernel("abba");
    let search = Hunt::guest(&kernel).cpus(2).runs(1000).findings(folder.path());
    let panic = catch_unwind(|| search.assert_clean()).unwrap_err();
    let report = panic.downcast_ref::<String>().unwrap();
    for part in ["abba.elf: proven hang in run ", "waits for ", "schedule: ", " 1 failed"] {
        assert!(report.contains(part), "{part}: {report}");
    }
    let file = report.lines().find_map(|line| line.strip_prefix("again: jitterbug replay "));
    let finding = Finding::read(file.unwrap().as_ref()).unwrap();
    assert_eq!(finding.machine.guest, kernel.canonicalize().unwrap().display().to_string());
}

#[test]
fn a_guest_without_the_bug_passes() {
    let (folder, kernel) = kernel("abba-fixed");
    Hunt::guest(&kernel).cpus(2).runs(50).findings(folder.path()).assert_clean();
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn what_says_nothing_is_no_pass() {
    let (folder, kernel) = kernel("abba-fixed");
    let search = Hunt::guest(&kernel).cpus(2).runs(5).findings(folder.path());
    let searched = search.clone().budget(3).run().unwrap();
    assert!(!searched.is_clean());
    assert!(searched.to_string().contains("no run came to its end"), "{searched}");
    let searched = search.fault("irq-drop:vector=0xf0").run().unwrap();
    assert!(!searched.is_clean());
    assert!(searched.to_string().contains("1 faults never struck"), "{searched}");
}

#[test]
fn what_can_not_be_searched_is_an_error() {
    let missing = Hunt::guest("/no/kernel.elf").run().unwrap_err();
    assert!(with_sources(&missing).starts_with("/no/kernel.elf: can't be read: "), "{missing}");
    let (_folder, kernel) = kernel("abba");
    let vcpus = Hunt::guest(&kernel).cpus(65).run().unwrap_err().to_string();
    assert!(vcpus.contains("--cpus"), "{vcpus}");
    let fault = Hunt::guest(&kernel).fault("ipi").run().unwrap_err().to_string();
    assert!(fault.contains("`ipi` is no fault"), "{fault}");
}
