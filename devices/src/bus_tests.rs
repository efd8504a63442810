use super::*;

struct Echo;

impl PortDevice for Echo {
    fn read(&self, offset: u16, data: &mut [u8]) {
        data.fill(offset as u8);
    }

    fn write(&self, offset: u16, data: &[u8]) -> Effect {
        Effect::End(u32::from(offset) + u32::from(data[0]))
    }
}

#[test]
fn reaches_the_device_by_offset() {
    let mut bus = PortBus::default();
    bus.insert(0x3f8, 8, Arc::new(Echo)).unwrap();
    let mut data = [0];
    bus.read(0x3ff, &mut data);
    assert_eq!(data, [7]);
    assert_eq!(bus.write(0x3f9, &[1]), Effect::End(2));
}

#[test]
fn nobody_answers_with_all_ones() {
    let bus = PortBus::default();
    let mut data = [0; 4];
    bus.read(0x80, &mut data);
    assert_eq!(data, [0xff; 4]);
    assert_eq!(bus.write(0x80, &[1]), Effect::None);
}

#[test]
fn refuses_an_overlap() {
    let mut bus = PortBus::default();
    bus.insert(0x10, 4, Arc::new(Echo)).unwrap();
    assert!(bus.insert(0x13, 1, Arc::new(Echo)).is_err());
    assert!(bus.insert(0x0c, 5, Arc::new(Echo)).is_err());
    bus.insert(0x14, 1, Arc::new(Echo)).unwrap();
}

#[test]
fn the_last_port_is_in_reach() {
    let mut bus = PortBus::default();
    bus.insert(0xffff, 4, Arc::new(Echo)).unwrap();
    assert_eq!(bus.write(0xffff, &[5]), Effect::End(5));
}
