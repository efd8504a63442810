use super::*;
use crate::testing::{Lines, TestClock, wired};

/// A device with one register, which asks for an interrupt when it is written.
#[derive(Debug, Default)]
struct Register(u8);

impl Device for Register {
    fn read(&mut self, _at: Address, data: &mut [u8], _wiring: &mut Wiring) {
        data.fill(self.0);
    }

    fn write(&mut self, _at: Address, data: &[u8], wiring: &mut Wiring) -> Effect {
        self.0 = data[0];
        wiring.pulse(9);
        Effect::End(data[0].into())
    }

    fn read_kind(&self, _at: Address) -> ReadKind {
        ReadKind::Clock
    }

    fn advance(&mut self, wiring: &mut Wiring) {
        self.0 = wiring.clock.now() as u8;
    }

    fn next_deadline(&self, _wiring: &Wiring) -> Option<u64> {
        Some(u64::from(self.0) + 1)
    }

    fn reset(&mut self) {
        self.0 = 0;
    }

    fn save(&self) -> State {
        State::new(self.0)
    }

    fn restore(&mut self, state: &State) -> Result<(), ForeignState> {
        self.0 = *state.get()?;
        Ok(())
    }
}

/// A device at ports 0x10 to 0x13 and at a page of memory.
fn bus() -> (Bus, Handle<Register>) {
    let mut bus = Bus::default();
    let regions = [Region::Ports(0x10..=0x13), Region::Memory(0xfe00_0000..=0xfe00_0fff)];
    let handle = bus.insert(Register::default(), regions).unwrap();
    (bus, handle)
}

fn read(bus: &Bus, at: Address) -> u8 {
    let mut data = [0];
    wired(&mut Lines::default(), |wiring| bus.read(0, at, &mut data, wiring));
    data[0]
}

#[test]
fn a_device_is_reached_by_its_ports_and_its_memory() {
    let (bus, handle) = bus();
    let mut lines = Lines::default();
    let effect = wired(&mut lines, |wiring| bus.write(0, Address::Port(0x13), &[7], wiring));
    assert_eq!(effect, Effect::End(7));
    assert_eq!(lines.set, [(9, true), (9, false)]);
    assert_eq!(read(&bus, Address::Port(0x10)), 7);
    assert_eq!(read(&bus, Address::Memory(0xfe00_0fff)), 7);
    assert_eq!(bus.with(handle, |register| register.0), Some(7));
    assert_eq!(bus.read_kind(Address::Port(0x10)), ReadKind::Clock);
    assert_eq!(bus.read_kind(Address::Port(0x14)), ReadKind::Plain);
    let has = [Address::Port(0x13), Address::Port(0x14), Address::Memory(0x13)];
    assert_eq!(has.map(|at| bus.has(at)), [true, false, false]);
}

#[test]
fn an_address_without_a_device_reads_as_ones() {
    let (bus, _) = bus();
    for at in [Address::Port(0x14), Address::Memory(0x10), Address::Memory(0xfe00_1000)] {
        assert_eq!(read(&bus, at), 0xff, "{at:?}");
    }
    let write = |wiring: &mut Wiring| bus.write(0, Address::Port(0x80), &[1], wiring);
    assert_eq!(wired(&mut Lines::default(), write), Effect::None);
}

#[test]
fn an_address_without_a_device_is_the_interrupt_controllers() {
    use crate::apics::Apics;
    use crate::lapic::LAPIC_BASE;
    const ID: u64 = LAPIC_BASE + 0x20;
    const TASK_PRIORITY: u64 = LAPIC_BASE + 0x80;
    let (bus, _) = bus();
    let mut apics = Apics::new(2, 2);
    let mut wiring = Wiring { clock: &TestClock(0), controller: &mut apics };
    let mut data = [0; 4];
    bus.read(1, Address::Memory(ID), &mut data, &mut wiring);
    assert_eq!(u32::from_le_bytes(data), 1 << 24);
    bus.write(1, Address::Memory(TASK_PRIORITY), &[0x30, 0, 0, 0], &mut wiring);
    assert_eq!([0, 1].map(|vcpu: usize| apics.lapics[vcpu].cr8()), [0, 3]);
}

#[test]
fn addresses_belong_to_one_device() {
    let (mut bus, _) = bus();
    for region in [Region::Ports(0x13..=0x13), Region::Ports(0x0c..=0x10)] {
        // The first region is free, and stays so.
        let regions = [Region::Ports(0x20..=0x20), region];
        assert!(bus.insert(Register(1), regions).is_err());
    }
    bus.insert(Register(2), [Region::Ports(0x14..=0x14), Region::Ports(0x20..=0x20)]).unwrap();
    bus.insert(Register(3), [Region::Memory(0x10..=0x13)]).unwrap();
    assert_eq!(read(&bus, Address::Port(0x20)), 2);
    assert_eq!(read(&bus, Address::Memory(0x13)), 3);
}

#[test]
fn the_last_port_is_in_reach() {
    let mut bus = Bus::default();
    bus.insert(Register(5), [Region::Ports(0xffff..=0xffff)]).unwrap();
    assert_eq!(read(&bus, Address::Port(0xffff)), 5);
}

#[test]
fn time_passes_for_every_device() {
    let (mut bus, handle) = bus();
    let mut lines = Lines::default();
    let mut wiring = Wiring { clock: &TestClock(41), controller: &mut lines };
    bus.advance(&mut wiring);
    assert_eq!(bus.deadlines(&wiring).collect::<Vec<_>>(), [42]);
    bus.reset();
    assert_eq!(bus.with(handle, |register| register.0), Some(0));
}

#[test]
fn a_saved_state_comes_back() {
    let (mut bus, handle) = bus();
    bus.with(handle, |register| register.0 = 3);
    let saved = bus.save();
    bus.with(handle, |register| register.0 = 4);
    assert_eq!(bus.restore(&saved), Ok(()));
    assert_eq!(bus.with(handle, |register| register.0), Some(3));
    assert_eq!(bus.restore(&[]), Err(ForeignState));
    assert_eq!(bus.restore(&[State::new("another device's")]), Err(ForeignState));
}
