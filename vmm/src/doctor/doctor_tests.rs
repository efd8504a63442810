//! Tests with the real KVM: only what must hold on every host.

use std::path::Path;

use iced_x86::code_asm::CodeAssembler;

use super::*;
use crate::exit::Exit;
use crate::kvm::host::DEFAULT_DEVICE;

fn host() -> Host {
    Host::open(Path::new(DEFAULT_DEVICE)).expect("KVM")
}

#[test]
fn examines_every_mechanism() {
    let host = host();
    let report = examine(&host, Duration::from_mins(1));
    println!("{report}");
    let tests: usize = catalogue::GROUPS.iter().map(|group| group.tests.len()).sum();
    assert_eq!(report.rows.len(), tests + 1);
    for id in ["port-exit", "mmio-exit", "hole-load", "hole-store", "hole-inc", "hole-xchg"] {
        let row = report.row(id).expect("a row");
        assert_eq!(row.verdict, Verdict::Works, "{row}");
    }
    assert!(report.to_string().lines().all(|line| line.chars().count() <= 100));
}

#[test]
#[ignore = "a measurement"]
fn what_synchronised_registers_cost() {
    let host = host();
    let test_guest = TestGuest::new(&host).expect("a lab");
    for _ in 0..5 {
        let costs = registers::sync_costs(&test_guest, 3000).expect("costs");
        println!("none, REGS, REGS|SREGS: {costs:?}");
    }
}

#[test]
fn a_guest_that_spins_is_stopped() {
    let host = host();
    let test_guest = TestGuest::new(&host).expect("a lab");
    let mut bench = test_guest
        .kernel(|a| {
            let mut here = a.create_label();
            a.set_label(&mut here)?;
            a.jmp(here)
        })
        .expect("a bench");
    assert_eq!(bench.resume().expect("an exit"), Exit::Kicked);
    assert_eq!(bench.odd(&Exit::Kicked).verdict, Verdict::Hangs);
}

#[test]
fn an_exception_is_reported_by_name() {
    let host = host();
    let test_guest = TestGuest::new(&host).expect("a lab");
    let mut bench = test_guest.kernel(CodeAssembler::ud2).expect("a bench");
    let outcome = bench.expect_done().map_err(Outcome::from).expect_err("#UD");
    assert_eq!(outcome, Outcome::missing("the guest gets #UD"));
}

#[test]
fn ids_are_unique() {
    let tests = || catalogue::GROUPS.iter().flat_map(|group| group.tests);
    for test in tests() {
        assert_eq!(tests().filter(|other| other.id == test.id).count(), 1, "{}", test.id);
    }
}

#[test]
fn what_stops_a_vcpu_is_found_out_once() {
    let host = host();
    let found = DebugCapabilities::of(&host);
    assert_eq!(host.clone().stopping(|| panic!("it is known")), found);
    let report = examine(&host, Duration::from_mins(1));
    let works = |id: &str| report.row(id).is_some_and(|row| row.verdict == Verdict::Works);
    assert_eq!((found.steps, found.block_interrupts), (works("single-step"), works("block-irq")));
}
