use super::*;
use crate::lapic::{Acceptance, Effect};

const LINT0: u32 = 0x350;
const LINT1: u32 = 0x360;
const ERROR: u32 = 0x370;
const ESR: u32 = 0x280;

fn enabled() -> Lapic {
    let mut lapic = Lapic::new(0, true);
    lapic.write(0x0f0, 0x1ff, 0);
    lapic
}

#[test]
fn masked_after_reset_and_while_disabled() {
    let mut lapic = Lapic::new(0, true);
    for entry in (0x320..0x380).step_by(16) {
        assert_eq!(lapic.read(entry, 0), LVT_MASKED);
        lapic.write(entry, 0x31, 0);
        assert_eq!(lapic.read(entry, 0), LVT_MASKED | 0x31);
    }
    lapic.write(0x0f0, 0x1ff, 0);
    lapic.write(LINT0, 0x31, 0);
    assert_eq!(lapic.read(LINT0, 0), 0x31);
    lapic.write(0x0f0, 0xff, 0);
    assert_eq!(lapic.read(LINT0, 0), LVT_MASKED | 0x31, "disabling masks");
}

#[test]
fn writable_bits() {
    let mut lapic = enabled();
    for (offset, bits) in [
        (0x320, 0x300ff),
        (0x330, 0x107ff),
        (0x340, 0x107ff),
        (LINT0, 0x1a7ff),
        (LINT1, 0x1a7ff),
        (ERROR, 0x100ff),
    ] {
        lapic.write(offset, u32::MAX, 0);
        assert_eq!(lapic.read(offset, 0), bits, "{offset:#x}");
    }
}

#[test]
fn an_edge_is_one_interrupt() {
    let mut lapic = enabled();
    lapic.write(LINT1, 0x41, 0);
    assert_eq!(lapic.set_pin(Pin::Lint1, true), None);
    assert_eq!(lapic.acknowledge(), Some(0x41));
    lapic.set_pin(Pin::Lint1, true);
    assert_eq!(lapic.write(0x0b0, 0, 0), Effect::None);
    assert_eq!(lapic.pending(), None, "it did not rise again");
    lapic.set_pin(Pin::Lint1, false);
    lapic.set_pin(Pin::Lint1, true);
    assert_eq!(lapic.pending(), Some(0x41));
}

#[test]
fn a_level_asks_until_it_is_gone() {
    let mut lapic = enabled();
    lapic.set_pin(Pin::Lint0, true);
    lapic.write(LINT0, LVT_LEVEL | 0x41, 0); // unmasked while asserted
    assert_eq!(lapic.read(LINT0, 0), LVT_LEVEL | LVT_REMOTE_IRR | 0x41);
    assert_eq!(lapic.acknowledge(), Some(0x41));
    assert_eq!(lapic.write(0x0b0, 0, 0), Effect::EndOfInterrupt { vector: 0x41 });
    assert_eq!(lapic.acknowledge(), Some(0x41), "still asserted");
    lapic.set_pin(Pin::Lint0, false);
    lapic.write(0x0b0, 0, 0);
    assert_eq!(lapic.pending(), None);
    assert_eq!(lapic.read(LINT0, 0), LVT_LEVEL | 0x41);
}

#[test]
fn signals_pass_by() {
    let mut lapic = enabled();
    for (mode, signal) in [(2, Some(Signal::Smi)), (4, Some(Signal::Nmi)), (5, Some(Signal::Init))]
    {
        lapic.write(LINT1, mode << 8, 0);
        assert_eq!(lapic.set_pin(Pin::Lint1, true), signal);
        assert_eq!(lapic.set_pin(Pin::Lint1, true), None);
        lapic.set_pin(Pin::Lint1, false);
    }
    lapic.write(LINT1, LVT_MASKED | 4 << 8, 0);
    assert_eq!(lapic.set_pin(Pin::Lint1, true), None);
}

#[test]
fn an_8259_asks_while_its_line_is_asserted() {
    let mut lapic = enabled();
    lapic.write(LINT0, 7 << 8, 0);
    assert!(!lapic.external_interrupt());
    assert_eq!(lapic.set_pin(Pin::Lint0, true), None);
    assert!(lapic.external_interrupt());
    lapic.write(LINT0, LVT_MASKED | 7 << 8, 0);
    assert!(!lapic.external_interrupt());
}

#[test]
fn errors_are_latched_by_a_write() {
    let mut lapic = enabled();
    lapic.write(ERROR, 0xfe, 0);
    assert_eq!(lapic.accept(0x0f, false), Acceptance::Refused);
    assert_eq!(lapic.read(ESR, 0), 0);
    assert_eq!(lapic.acknowledge(), Some(0xfe));
    lapic.write(0x3f0, 0, 0); // SELF IPI: x2APIC alone has it
    lapic.write(0x0b0, 0, 0);
    assert_eq!(lapic.pending(), None, "the second error comes before ESR was written");
    lapic.write(ESR, 0, 0);
    assert_eq!(lapic.read(ESR, 0), 0xc0);
    lapic.write(ESR, 0, 0);
    assert_eq!(lapic.read(ESR, 0), 0);
    lapic.accept(0, false);
    assert_eq!(lapic.pending(), Some(0xfe), "armed again");
}

#[test]
fn an_illegal_vector_in_the_table_is_an_error() {
    let mut lapic = enabled();
    lapic.write(ERROR, 0x03, 0); // even the error's own
    lapic.write(LINT1, 0x02, 0);
    lapic.set_pin(Pin::Lint1, true);
    assert_eq!(lapic.pending(), None);
    lapic.write(ESR, 0, 0);
    assert_eq!(lapic.read(ESR, 0), 0x40);
}
