use super::*;
use crate::testing::{Lines, TestClock};

fn read(device: &mut NmiStatus, now: u64) -> u8 {
    let (mut data, clock) = ([0], TestClock(now));
    let mut wiring = Wiring { clock: &clock, controller: &mut Lines::default() };
    device.read(Address::Port(PORT), &mut data, &mut wiring);
    data[0]
}

#[test]
fn no_error_and_no_device_is_the_cause_of_an_nmi() {
    let mut device = NmiStatus::default();
    assert_eq!(read(&mut device, 0), OUTPUT);
    let mut lines = Lines::default();
    let mut wiring = Wiring { clock: &TestClock(0), controller: &mut lines };
    device.write(Address::Port(PORT), &[0xff], &mut wiring);
    assert_eq!(read(&mut device, 0), OUTPUT | KEPT);
}

#[test]
fn the_refresh_request_toggles() {
    let mut device = NmiStatus::default();
    let at = |device: &mut _, now| read(device, now) & REFRESH;
    assert_eq!(at(&mut device, REFRESH_TIME - 1), 0);
    assert_eq!(at(&mut device, REFRESH_TIME), REFRESH);
    assert_eq!(at(&mut device, 2 * REFRESH_TIME), 0);
}
