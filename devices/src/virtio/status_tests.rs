use super::*;

fn set(bits: u32, features: bool) -> Asked {
    Asked::Set { to: Status(bits), features }
}

#[test]
fn the_steps_come_in_their_order() {
    let mut status = Status::default();
    for (step, features) in [(1, false), (3, false), (0xb, true), (0xf, false)] {
        assert_eq!(status.ask(step), set(step, features));
        status = Status(step);
    }
    assert!(status.is_live());
}

#[test]
fn steps_may_come_together_but_not_without_those_before() {
    assert_eq!(Status(0).ask(0xf), set(0xf, true));
    for skipped in [2, 4, 5, 8, 9, 0xa, 0xc, 0xd, 0xe] {
        assert_eq!(Status(0).ask(skipped), Asked::Illegal, "{skipped:#x}");
    }
}

#[test]
fn no_bit_is_cleared_but_by_a_reset() {
    for cleared in [1, 3, 0xb] {
        assert_eq!(Status(0xf).ask(cleared), Asked::Illegal);
    }
    assert_eq!(Status(0xf).ask(0), Asked::Reset);
}

#[test]
fn a_driver_may_fail_at_any_time_and_then_only_reset() {
    assert_eq!(Status(3).ask(0x83), set(0x83, false));
    assert_eq!(Status(0x83).ask(0x8b), Asked::Illegal);
    assert!(!Status(0x8f).is_live() && !Status(0x4f).is_live() && !Status(0xb).is_live());
}

#[test]
fn needs_reset_is_the_devices_own() {
    assert_eq!(Status(0x43).ask(3), set(0x43, false));
    assert_eq!(Status(3).ask(0x43), set(3, false));
}
