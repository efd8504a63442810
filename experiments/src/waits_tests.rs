use vmm::registers::{Registers, SystemRegisters};

use super::*;

fn told(waits: Waits, on: bool, pending: Option<u8>, in_nmi: bool) -> String {
    let attention = Attention { on, pending, in_nmi };
    let (registers, system) = (Registers::default(), SystemRegisters::default());
    let waiter = Waiter { vcpu: 1, waits, attention, registers, system };
    let row = Row {
        vcpu: 1,
        waits_for: if matches!(waiter.waits, Waits::ForInterrupt) { "interrupt" } else { "change" }
            .into(),
        interrupts: interrupts(&waiter),
        stack: "f+0x1".into(),
        values: Vec::new(),
    };
    row.to_string().lines().next().unwrap_or_default().to_owned()
}

/// A masked interrupt is not on its way, and a vCPU that sleeps with interrupts on is not stuck.
#[test]
fn it_is_told_why_an_interrupt_does_not_come() {
    let waits = || Waits::ForChange(Vec::new());
    assert_eq!(
        told(waits(), false, Some(35), false),
        "vCPU 1: waits, interrupts off, vector 35 pending"
    );
    assert_eq!(told(waits(), false, None, false), "vCPU 1: waits");
    assert_eq!(told(waits(), true, None, true), "vCPU 1: waits, in NMI");
    assert_eq!(
        told(Waits::ForInterrupt, true, None, false),
        "vCPU 1: sleeps, idle and interruptible, and no interrupt is on its way"
    );
    assert_eq!(told(Waits::ForInterrupt, false, None, false), "vCPU 1: sleeps, interrupts off");
    assert_eq!(
        told(Waits::ForInterrupt, false, Some(40), true),
        "vCPU 1: sleeps, in NMI, interrupts off, vector 40 pending"
    );
}

/// A finding of an earlier version has no interrupt state.
#[test]
fn an_old_row_is_read_as_it_was() {
    let old = "vcpu = 1\nwaits_for = \"interrupt\"\nstack = \"halt+0x1\"\n";
    let row: Row = toml::from_str(old).unwrap();
    let text = row.to_string();
    assert_eq!(text, "vCPU 1: sleeps, and no interrupt is on its way\n  halt+0x1");
}
