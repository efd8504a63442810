use super::*;
use crate::lapic::Effect;

const ICR_LOW: u32 = 0x300;
const ICR_HIGH: u32 = 0x310;
const LOGICAL: u32 = 1 << 11;

fn lapics(count: u8) -> Vec<Lapic> {
    let mut lapics: Vec<_> = (0..count).map(|id| Lapic::new(id, id == 0)).collect();
    for lapic in &mut lapics {
        lapic.write(0x0f0, 0x1ff, 0);
    }
    lapics
}

/// Sends an IPI from LAPIC 1 of `lapics`; returns the effect and the targets.
fn send(lapics: &mut [Lapic], to: u8, low: u32) -> (Effect, u64) {
    lapics[1].write(ICR_HIGH, u32::from(to) << 24, 0);
    let effect = lapics[1].write(ICR_LOW, low, 0);
    match effect {
        Effect::Ipi(ipi) => (effect, ipi.targets(lapics)),
        _ => (effect, 0),
    }
}

fn mode(effect: Effect) -> IpiMode {
    match effect {
        Effect::Ipi(ipi) => ipi.mode,
        other => panic!("{other:?}"),
    }
}

#[test]
fn delivery_modes() {
    let mut lapics = lapics(2);
    for (low, expected) in [
        (0x4031, IpiMode::Fixed { vector: 0x31 }),
        (0x4131, IpiMode::LowestPriority { vector: 0x31 }),
        (0x4200, IpiMode::Smi),
        (0x4400, IpiMode::Nmi),
        (0x4500, IpiMode::Init),
        (0xc500, IpiMode::Init),
        (0x0500, IpiMode::Init), // an edge: the level bit means nothing
        (0x8500, IpiMode::InitDeassert),
        (0x4602, IpiMode::Startup { vector: 2 }),
    ] {
        assert_eq!(mode(send(&mut lapics, 0, low).0), expected, "{low:#x}");
    }
    for reserved in [0x4331, 0x4731] {
        assert_eq!(send(&mut lapics, 0, reserved).0, Effect::None);
    }
}

#[test]
fn the_command_reads_back_idle() {
    let mut lapics = lapics(2);
    send(&mut lapics, 3, 0xffff_ffff);
    assert_eq!(lapics[1].read(ICR_LOW, 0), 0x000c_cfff);
    assert_eq!(lapics[1].read(ICR_HIGH, 0), 3 << 24);
}

#[test]
fn physical_and_broadcast() {
    let mut lapics = lapics(4);
    assert_eq!(send(&mut lapics, 2, 0x4031).1, 0b0100);
    assert_eq!(send(&mut lapics, 9, 0x4031).1, 0);
    assert_eq!(send(&mut lapics, 0xff, 0x4031).1, 0b1111);
}

#[test]
fn shorthands() {
    let mut lapics = lapics(4);
    for (shorthand, expected) in [(1, 0b0010), (2, 0b1111), (3, 0b1101)] {
        assert_eq!(send(&mut lapics, 3, 0x4031 | shorthand << 18).1, expected);
    }
}

#[test]
fn logical_flat() {
    let mut lapics = lapics(4);
    for (cpu, lapic) in lapics.iter_mut().enumerate() {
        lapic.write(0x0d0, 1 << (24 + cpu), 0);
    }
    assert_eq!(send(&mut lapics, 0b0110, 0x4031 | LOGICAL).1, 0b0110);
    assert_eq!(send(&mut lapics, 0xff, 0x4031 | LOGICAL).1, 0b1111);
    assert_eq!(send(&mut lapics, 0xf0, 0x4031 | LOGICAL).1, 0);
}

#[test]
fn logical_cluster() {
    let mut lapics = lapics(4);
    for (lapic, id) in lapics.iter_mut().zip([0x11u32, 0x12, 0x21, 0x22]) {
        lapic.write(0x0e0, 0, 0);
        lapic.write(0x0d0, id << 24, 0);
    }
    assert_eq!(lapics[0].read(0x0e0, 0), 0x0fff_ffff);
    assert_eq!(send(&mut lapics, 0x13, 0x4031 | LOGICAL).1, 0b0011);
    assert_eq!(send(&mut lapics, 0x22, 0x4031 | LOGICAL).1, 0b1000);
    assert_eq!(send(&mut lapics, 0x33, 0x4031 | LOGICAL).1, 0);
    assert_eq!(send(&mut lapics, 0xff, 0x4031 | LOGICAL).1, 0b1111);
}

#[test]
fn lowest_priority_takes_the_idlest() {
    let mut lapics = lapics(4);
    lapics[0].write(0x080, 0x20, 0); // TPR
    lapics[1].accept(0x50, false); // waits
    lapics[2].write(0x0f0, 0xff, 0); // disabled
    assert_eq!(send(&mut lapics, 0xff, 0x4131).1, 0b1000);
    lapics[3].accept(0x60, false);
    lapics[3].acknowledge(); // serves
    assert_eq!(send(&mut lapics, 0xff, 0x4131).1, 0b0001);
    // Equals: the first.
    lapics[0].write(0x080, 0x50, 0);
    assert_eq!(send(&mut lapics, 0xff, 0x4131).1, 0b0001);
}

#[test]
fn illegal_vectors_are_not_sent() {
    let mut lapics = lapics(2);
    assert_eq!(send(&mut lapics, 0, 0x400f).0, Effect::None);
    assert_eq!(send(&mut lapics, 0, 0x410f).0, Effect::None);
    lapics[1].write(0x280, 0, 0);
    assert_eq!(lapics[1].read(0x280, 0), 1 << 5);
    // The page of a SIPI and the unused vector of an NMI are not checked as vectors.
    assert_eq!(mode(send(&mut lapics, 0, 0x4602).0), IpiMode::Startup { vector: 2 });
    assert_eq!(mode(send(&mut lapics, 0, 0x4402).0), IpiMode::Nmi);
}

#[test]
fn more_than_a_set_holds_is_left_out() {
    let mut lapics = lapics(80);
    assert_eq!(send(&mut lapics, 0xff, 0x4031).1, u64::MAX);
    assert_eq!(send(&mut lapics, 70, 0x4031).1, 0);
}
