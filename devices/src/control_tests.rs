use super::*;

#[test]
fn a_write_ends_the_run_with_its_value() {
    assert_eq!(ControlPorts.write(0, &[0, 0, 0, 0]), Effect::End(0));
    assert_eq!(ControlPorts.write(0, &[7]), Effect::End(7));
    assert_eq!(ControlPorts.write(0, &[1, 2, 0, 0]), Effect::End(0x201));
}

#[test]
fn the_second_port_marks() {
    assert_eq!(ControlPorts.write(1, &[1]), Effect::Mark);
}
