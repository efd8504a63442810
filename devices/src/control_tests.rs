use super::*;
use crate::testing::{Lines, wired};

fn write(port: u16, data: &[u8]) -> Effect {
    let at = Address::Port(port);
    wired(&mut Lines::default(), |wiring| ControlPorts.write(at, data, wiring))
}

#[test]
fn a_write_ends_the_run_with_its_value() {
    assert_eq!(write(END_PORT, &[0, 0, 0, 0]), Effect::End(0));
    assert_eq!(write(END_PORT, &[7]), Effect::End(7));
    assert_eq!(write(END_PORT, &[1, 2, 0, 0]), Effect::End(0x201));
}

#[test]
fn the_second_port_marks() {
    assert_eq!(write(MARK_PORT, &[1]), Effect::Mark);
}
