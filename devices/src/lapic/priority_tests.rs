use super::*;

fn enabled() -> Lapic {
    let mut lapic = Lapic::new(0, true);
    lapic.write(0x0f0, 0x1ff, 0);
    lapic
}

#[test]
fn from_request_to_service_to_end() {
    let mut lapic = enabled();
    assert_eq!(lapic.accept(0x31, false), Acceptance::Taken);
    assert_eq!(lapic.accept(0x31, false), Acceptance::Merged);
    assert_eq!(lapic.read(0x210, 0), 1 << 0x11, "IRR");
    assert_eq!(lapic.acknowledge(), Some(0x31));
    assert_eq!(lapic.read(0x210, 0), 0);
    assert_eq!(lapic.read(0x110, 0), 1 << 0x11, "ISR");
    assert_eq!(lapic.read(0x0a0, 0), 0x30, "PPR");
    // While it is served, another interrupt can wait.
    assert_eq!(lapic.accept(0x31, false), Acceptance::Taken);
    assert_eq!(lapic.pending(), None);
    assert_eq!(lapic.write(0x0b0, 0, 0), Effect::None);
    assert_eq!(lapic.acknowledge(), Some(0x31));
}

#[test]
fn a_higher_class_interrupts_the_same_does_not() {
    let mut lapic = enabled();
    lapic.accept(0x41, false);
    lapic.acknowledge();
    lapic.accept(0x4f, false);
    assert_eq!(lapic.pending(), None);
    lapic.accept(0x50, false);
    assert_eq!(lapic.acknowledge(), Some(0x50));
    lapic.write(0x0b0, 0, 0); // ends 0x50
    assert_eq!(lapic.pending(), None);
    lapic.write(0x0b0, 0, 0); // ends 0x41
    assert_eq!(lapic.pending(), Some(0x4f));
}

#[test]
fn the_task_priority_holds_back() {
    let mut lapic = enabled();
    lapic.accept(0x4f, false);
    lapic.write(0x080, 0x40, 0);
    assert_eq!(lapic.pending(), None);
    assert_eq!(lapic.cr8(), 4);
    lapic.set_cr8(3);
    assert_eq!(lapic.read(0x080, 0), 0x30);
    assert_eq!(lapic.pending(), Some(0x4f));
}

#[test]
fn processor_and_arbitration_priority() {
    let mut lapic = enabled();
    lapic.write(0x080, 0x35, 0);
    assert_eq!((lapic.read(0x0a0, 0), lapic.read(0x090, 0)), (0x35, 0x35));
    lapic.accept(0x61, false);
    assert_eq!((lapic.read(0x0a0, 0), lapic.read(0x090, 0)), (0x35, 0x60));
    lapic.acknowledge();
    assert_eq!((lapic.read(0x0a0, 0), lapic.read(0x090, 0)), (0x60, 0x60));
    lapic.write(0x080, 0x75, 0);
    assert_eq!((lapic.read(0x0a0, 0), lapic.read(0x090, 0)), (0x75, 0x75));
}

#[test]
fn the_end_of_a_level_is_told() {
    let mut lapic = enabled();
    lapic.accept(0x31, true);
    assert_eq!(lapic.read(0x190, 0), 1 << 0x11, "TMR");
    lapic.acknowledge();
    assert_eq!(lapic.write(0x0b0, 0, 0), Effect::EndOfInterrupt { vector: 0x31 });
    assert_eq!(lapic.write(0x0b0, 0, 0), Effect::None, "nothing is in service");
    // TMR has the trigger mode of the latest acceptance.
    lapic.accept(0x31, false);
    lapic.acknowledge();
    assert_eq!(lapic.write(0x0b0, 0, 0), Effect::None);
}

#[test]
fn disabled_it_takes_nothing_and_holds_what_it_has() {
    let mut lapic = Lapic::new(0, true);
    assert_eq!(lapic.accept(0x31, false), Acceptance::Refused);
    lapic.write(0x0f0, 0x1ff, 0);
    lapic.accept(0x31, false);
    lapic.write(0x0f0, 0xff, 0);
    assert_eq!((lapic.pending(), lapic.acknowledge()), (None, None));
    assert_eq!(lapic.accept(0x41, false), Acceptance::Refused);
    lapic.write(0x0f0, 0x1ff, 0);
    assert_eq!(lapic.pending(), Some(0x31));
}

#[test]
fn all_eight_words() {
    let mut lapic = enabled();
    for word in 0..8u8 {
        lapic.accept(word * 32 + 31, false);
        assert_eq!(lapic.read(0x200 + u32::from(word) * 16, 0), 1 << 31);
    }
    assert_eq!(lapic.pending(), Some(255));
}
