use super::*;

const COMMAND_LOW: u64 = LAPIC_BASE + 0x300;
const COMMAND_HIGH: u64 = LAPIC_BASE + 0x310;
const SPURIOUS: u64 = LAPIC_BASE + 0xf0;

fn send(apics: &mut Apics, to: u32, command: u32) {
    apics.write_register(0, COMMAND_HIGH, to << 24, 0);
    apics.write_register(0, COMMAND_LOW, command, 0);
}

#[test]
fn init_and_sipi_wait_for_the_scheduler() {
    let mut apics = Apics::new(3, 3);
    send(&mut apics, 2, 0x4500);
    send(&mut apics, 2, 0x4608);
    assert_eq!(apics.take_effects(), [IpiEffect::Init(2), IpiEffect::Startup(2, 8)]);
    assert_eq!(apics.take_effects(), []);
}

#[test]
fn an_ipi_reaches_the_lapic_of_its_target() {
    let mut apics = Apics::new(2, 2);
    apics.write_register(1, SPURIOUS, 0x1ff, 0);
    send(&mut apics, 1, 0x40);
    assert_eq!(apics.lapics[1].pending(), Some(0x40));
    assert_eq!(apics.lapics[0].pending(), None);
    assert_eq!(apics.take_effects(), []);
}

#[test]
fn what_is_saved_comes_back() {
    let mut apics = Apics::new(2, 2);
    apics.write_register(1, SPURIOUS, 0x1ff, 0);
    let saved = apics.save();
    assert!(!apics.asks_more_than(&saved));
    send(&mut apics, 1, 0x40);
    assert!(apics.asks_more_than(&saved));
    apics.restore(&saved);
    assert!(!apics.asks_more_than(&saved));
    send(&mut apics, 1, 0x400);
    assert!(apics.asks_more_than(&saved), "an NMI has not been taken");
    apics.restore(&saved);
    assert_eq!(apics.take_effects(), []);
}

#[test]
fn registers_are_32_bits_wide() {
    let mut apics = Apics::new(1, 1);
    let at = Address::Memory(SPURIOUS);
    assert!(apics.write(0, at, &[0xff, 1], 0), "a write of another size is ignored");
    assert_eq!(apics.read_register(0, SPURIOUS, 0), 0xff);
    assert!(apics.write(0, at, &[0xff, 1, 0, 0], 0));
    let mut data = [0xaa; 8];
    assert!(apics.read(0, at, &mut data, 0));
    assert_eq!(data, [0xff, 1, 0, 0, 0, 0, 0, 0]);
    assert!(!apics.read(0, Address::Port(0x40), &mut data, 0));
    assert!(!apics.read(0, Address::Memory(LAPIC_BASE + LAPIC_SIZE), &mut data, 0));
}

#[test]
fn a_line_that_does_not_exist_does_nothing() {
    let mut apics = Apics::new(1, 1);
    for line in [24, 255, 256, 258, u32::MAX] {
        apics.set_line(line, true);
        assert!(apics.is_masked(line), "{line}");
    }
    assert_eq!(apics.take_effects(), []);
}
