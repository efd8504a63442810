use proptest::prelude::*;

use super::*;
use crate::lapic::{Acceptance, Effect};

const LEVEL: u32 = 1 << 15;
const MASKED: u32 = 1 << 16;

fn select(ioapic: &mut IoApic, index: u32) {
    assert_eq!(ioapic.write(0, index), None);
}

fn read(ioapic: &mut IoApic, index: u32) -> u32 {
    select(ioapic, index);
    ioapic.read(0x10)
}

fn write(ioapic: &mut IoApic, index: u32, value: u32) -> Option<Message> {
    select(ioapic, index);
    ioapic.write(0x10, value)
}

/// Sets a pin's entry, for the LAPIC with id 1.
fn redirect(ioapic: &mut IoApic, pin: u8, low: u32) -> Option<Message> {
    write(ioapic, 0x11 + 2 * u32::from(pin), 1 << 24);
    write(ioapic, 0x10 + 2 * u32::from(pin), low)
}

fn fixed(pin: u8, vector: u8, level: bool) -> Message {
    let mode = MessageMode::Fixed { vector };
    Message { pin, mode, destination: Destination::Physical(1), level }
}

#[test]
fn after_power_up() {
    let mut ioapic = IoApic::new(5);
    assert_eq!(read(&mut ioapic, 0), 5 << 24);
    assert_eq!(read(&mut ioapic, 1), 0x0017_0011);
    assert_eq!(read(&mut ioapic, 2), 5 << 24);
    for pin in 0..24 {
        assert_eq!(read(&mut ioapic, 0x10 + 2 * pin), MASKED);
        assert_eq!(read(&mut ioapic, 0x11 + 2 * pin), 0);
    }
    assert_eq!(read(&mut ioapic, 0x40), 0, "behind the table");
    assert_eq!(ioapic.read(0), 0x40);
    assert_eq!(ioapic.read(0x20), 0);
}

#[test]
fn a_new_id_is_the_arbitration_id_too() {
    let mut ioapic = IoApic::new(5);
    write(&mut ioapic, 0, 0xf7ff_ffff);
    write(&mut ioapic, 1, 0);
    write(&mut ioapic, 2, 0);
    assert_eq!(read(&mut ioapic, 0), 7 << 24);
    assert_eq!(read(&mut ioapic, 1), 0x0017_0011);
    assert_eq!(read(&mut ioapic, 2), 7 << 24);
}

#[test]
fn what_the_guest_can_set() {
    let mut ioapic = IoApic::new(0);
    write(&mut ioapic, 0x10, u32::MAX);
    write(&mut ioapic, 0x11, u32::MAX);
    assert_eq!(read(&mut ioapic, 0x10), 0x0001_afff);
    assert_eq!(read(&mut ioapic, 0x11), 0xff00_0000);
}

#[test]
fn an_edge_is_sent_when_it_rises() {
    let mut ioapic = IoApic::new(0);
    assert_eq!(redirect(&mut ioapic, 4, 0x34), None);
    assert_eq!(ioapic.set_line(4, true), Some(fixed(4, 0x34, false)));
    assert_eq!(ioapic.set_line(4, true), None);
    assert_eq!(ioapic.set_line(4, false), None);
    assert_eq!(ioapic.set_line(4, true), Some(fixed(4, 0x34, false)));
    assert_eq!(ioapic.end_of_interrupt(0x34), []);
}

#[test]
fn an_edge_on_a_masked_pin_is_lost() {
    let mut ioapic = IoApic::new(0);
    redirect(&mut ioapic, 4, MASKED | 0x34);
    assert!(ioapic.masked(4));
    assert_eq!(ioapic.set_line(4, true), None);
    assert_eq!(redirect(&mut ioapic, 4, 0x34), None);
    assert!(!ioapic.masked(4));
}

#[test]
fn a_level_is_sent_until_it_is_served() {
    let mut ioapic = IoApic::new(0);
    redirect(&mut ioapic, 9, LEVEL | 0x39);
    let message = fixed(9, 0x39, true);
    assert_eq!(ioapic.set_line(9, true), Some(message));
    assert_eq!(read(&mut ioapic, 0x10 + 18), LEVEL | Entry::REMOTE_IRR | 0x39);
    assert_eq!(ioapic.set_line(9, false), None);
    assert_eq!(ioapic.set_line(9, true), None, "not served yet");
    assert_eq!(ioapic.end_of_interrupt(0x38), []);
    assert_eq!(ioapic.end_of_interrupt(0x39), [message], "still asserted");
    ioapic.set_line(9, false);
    assert_eq!(ioapic.end_of_interrupt(0x39), []);
    assert_eq!(read(&mut ioapic, 0x10 + 18), LEVEL | 0x39);
}

#[test]
fn unmasking_an_asserted_level_sends() {
    let mut ioapic = IoApic::new(0);
    redirect(&mut ioapic, 9, MASKED | LEVEL | 0x39);
    assert_eq!(ioapic.set_line(9, true), None);
    assert_eq!(redirect(&mut ioapic, 9, LEVEL | 0x39), Some(fixed(9, 0x39, true)));
}

#[test]
fn edge_and_back_frees_a_stuck_pin() {
    let mut ioapic = IoApic::new(0);
    redirect(&mut ioapic, 9, LEVEL | 0x39);
    ioapic.set_line(9, true);
    ioapic.set_line(9, false);
    redirect(&mut ioapic, 9, MASKED | 0x39);
    redirect(&mut ioapic, 9, LEVEL | 0x39);
    assert_eq!(ioapic.set_line(9, true), Some(fixed(9, 0x39, true)));
}

#[test]
fn a_level_that_nobody_took_can_be_sent_again() {
    let mut ioapic = IoApic::new(0);
    redirect(&mut ioapic, 9, LEVEL | 0x39);
    let message = ioapic.set_line(9, true).unwrap();
    ioapic.refused(message.pin);
    assert_eq!(ioapic.set_line(9, true), Some(message));
}

#[test]
fn two_pins_share_a_vector() {
    let mut ioapic = IoApic::new(0);
    for pin in [10, 11] {
        redirect(&mut ioapic, pin, LEVEL | 0x39);
        ioapic.set_line(pin, true);
    }
    assert_eq!(ioapic.end_of_interrupt(0x39), [fixed(10, 0x39, true), fixed(11, 0x39, true)]);
}

#[test]
fn delivery_modes() {
    for (mode, expected) in [
        (0, Some(MessageMode::Fixed { vector: 0x31 })),
        (1, Some(MessageMode::LowestPriority { vector: 0x31 })),
        (2, Some(MessageMode::Smi)),
        (3, None),
        (4, Some(MessageMode::Nmi)),
        (5, Some(MessageMode::Init)),
        (6, None),
        (7, Some(MessageMode::ExtInt)),
    ] {
        let mut ioapic = IoApic::new(0);
        // Level-triggered, which has no effect except for the first two modes.
        redirect(&mut ioapic, 1, LEVEL | mode << 8 | 0x31);
        let message = ioapic.set_line(1, true);
        assert_eq!(message.map(|message| message.mode), expected);
        assert!(message.is_none_or(|message| message.level == (mode < 2)));
        assert_eq!(ioapic.end_of_interrupt(0x31).len(), usize::from(mode < 2));
    }
}

#[test]
fn pins_that_do_not_exist() {
    let mut ioapic = IoApic::new(0);
    let before = ioapic.clone();
    assert_eq!(ioapic.set_line(24, true), None);
    ioapic.refused(255);
    assert!(ioapic.masked(24));
    assert_eq!(ioapic, before);
}

/// From the line to the EOI through a LAPIC, with a logical destination.
#[test]
fn with_lapics() {
    let mut lapics: Vec<_> = (0..2).map(|id| Lapic::new(id, id == 0)).collect();
    for (cpu, lapic) in lapics.iter_mut().enumerate() {
        lapic.write(0x0f0, 0x1ff, 0);
        lapic.write(0x0d0, 1 << (24 + cpu), 0);
    }
    let mut ioapic = IoApic::new(2);
    write(&mut ioapic, 0x11, 0b10 << 24);
    write(&mut ioapic, 0x10, LEVEL | Entry::LOGICAL | 0x31);
    let message = ioapic.set_line(0, true).unwrap();
    assert_eq!(message.targets(&lapics), 0b10);
    assert_eq!(lapics[1].accept(0x31, message.level), Acceptance::Taken);
    assert_eq!(lapics[1].acknowledge(), Some(0x31));
    ioapic.set_line(0, false);
    assert_eq!(lapics[1].write(0x0b0, 0, 0), Effect::EndOfInterrupt { vector: 0x31 });
    assert_eq!(ioapic.end_of_interrupt(0x31), []);
}

#[derive(Clone, Debug)]
enum Step {
    Write(u32, u32),
    Read(u32),
    Line(u8, bool),
    End(u8),
    Refused(u8),
}

proptest! {
    /// Remote IRR is set only for unmasked levels that were sent, and nothing panics.
    #[test]
    fn whatever_the_guest_does(steps in prop::collection::vec(prop_oneof![
        4 => (prop_oneof![Just(0u32), Just(0x10)], any::<u32>())
            .prop_map(|(at, value)| Step::Write(at, value)),
        4 => (0u32..0x48).prop_map(|index| Step::Write(0, index)),
        1 => (any::<u32>(), any::<u32>()).prop_map(|(at, value)| Step::Write(at, value)),
        1 => any::<u32>().prop_map(Step::Read),
        4 => (0u8..26, any::<bool>()).prop_map(|(pin, line)| Step::Line(pin, line)),
        2 => any::<u8>().prop_map(Step::End),
        1 => any::<u8>().prop_map(Step::Refused),
    ], 1..200)) {
        let mut ioapic = IoApic::new(1);
        for step in steps {
            let sent = match step {
                Step::Write(at, value) => ioapic.write(at, value).into_iter().collect(),
                Step::Read(at) => { ioapic.read(at); vec![] }
                Step::Line(pin, line) => ioapic.set_line(pin, line).into_iter().collect(),
                Step::End(vector) => ioapic.end_of_interrupt(vector),
                Step::Refused(pin) => { ioapic.refused(pin); vec![] }
            };
            for message in sent {
                prop_assert!(!ioapic.masked(message.pin));
                let entry = ioapic.entries[usize::from(message.pin)];
                prop_assert!(entry.line);
                prop_assert_eq!(entry.low & Entry::REMOTE_IRR != 0, message.level);
            }
            for entry in ioapic.entries {
                prop_assert!(entry.low & Entry::REMOTE_IRR == 0 || entry.is_level());
            }
        }
    }
}
