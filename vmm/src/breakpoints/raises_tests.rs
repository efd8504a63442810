use super::*;

#[test]
fn instructions_that_always_call_a_handler_are_known() {
    let of = |code: &[u8]| vector(&iced_x86::Decoder::new(64, code, 0).decode());
    assert_eq!(of(&[0xcc]), Some(3), "INT3");
    assert_eq!(of(&[0xcd, 0x80]), Some(0x80), "INT 0x80");
    assert_eq!(of(&[0xf1]), Some(1), "INT1");
    assert_eq!(of(&[0x0f, 0x0b]), Some(6), "UD2");
    assert_eq!(of(&[0x90]), None, "NOP");
    assert_eq!(of(&[0x48, 0xcf]), None, "IRETQ");
}
