use super::*;

#[test]
fn every_point_is_found_by_its_name() {
    for point in Point::ALL {
        assert_eq!(Point::find(point.name()), Ok(point));
    }
}

#[test]
fn a_wrong_case_or_a_typing_error_gets_a_suggestion() {
    for (name, expected) in [("VMM1hz", "VMM1Hz"), ("VMMload", "VMMLoad"), ("VM10Hz", "VMM10Hz")] {
        match Point::find(name) {
            Err(NoPoint::Unknown { suggestion, .. }) => assert_eq!(suggestion, Some(expected)),
            other => panic!("{name}: {other:?}"),
        }
    }
    assert_eq!(
        Point::find("Bananas"),
        Err(NoPoint::Unknown { name: "Bananas".into(), suggestion: None })
    );
}

#[test]
fn points_of_vprobes_that_are_missing_say_why() {
    for name in [
        "VMX1Hz",
        "Guest_PF",
        "Guest_IRQ",
        "HV_Exit",
        "In",
        "Disk_IOStart",
        "MAC_SendPacket",
        "SMM_SMIPre",
        "VMK1Hz",
        "GUEST:ENTER:main",
        "GUEST:0x1000",
        "GUEST_WRITE:0x10",
        "USEC:100",
        "VMM:TIMER:10msec",
        "VMKERNEL:foo",
        "VMKERNEL_RET:foo",
        "MONITOR:x",
    ] {
        assert!(matches!(Point::find(name), Err(NoPoint::Missing { .. })), "{name}");
    }
}
