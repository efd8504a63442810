use super::*;
use crate::testing::{Lines, wired};

fn write(port: u16, data: &[u8]) -> Effect {
    let at = Address::Port(port);
    wired(&mut Lines::default(), |wiring| PowerPorts.write(at, data, wiring))
}

#[test]
fn the_sleep_control_register_powers_off() {
    assert_eq!(write(SLEEP_CONTROL_PORT, &[SLEEP_ENABLE]), Effect::PowerOff);
    assert_eq!(write(SLEEP_CONTROL_PORT, &[SLEEP_TYPE_OFF << 2 | SLEEP_ENABLE]), Effect::PowerOff);
    // Without SLP_EN, nothing is entered.
    assert_eq!(write(SLEEP_CONTROL_PORT, &[0x1c]), Effect::None);
    // What small kernels write under QEMU.
    assert_eq!(write(SLEEP_STATUS_PORT, &0x2000u16.to_le_bytes()), Effect::PowerOff);
    assert_eq!(write(SLEEP_STATUS_PORT, &[0x80]), Effect::None);
}

#[test]
fn both_reset_ports_reset() {
    assert_eq!(write(RESET_PORT, &[RESET_VALUE]), Effect::Reset);
    assert_eq!(write(RESET_PORT, &[0x0e]), Effect::Reset);
    // The first of the two writes of a careful reset only chooses its kind.
    assert_eq!(write(RESET_PORT, &[0x02]), Effect::None);
    assert_eq!(write(KEYBOARD_PORT, &[0xfe]), Effect::Reset);
    assert_eq!(write(KEYBOARD_PORT, &[0xae]), Effect::None);
}

#[test]
fn the_keyboard_controller_is_ready_for_a_command() {
    let mut status = [0xff];
    let at = Address::Port(KEYBOARD_PORT);
    wired(&mut Lines::default(), |wiring| PowerPorts.read(at, &mut status, wiring));
    assert_eq!(status, [0]);
}
