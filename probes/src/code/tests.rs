use super::Op;

#[test]
fn an_instruction_is_small() {
    assert!(size_of::<Op>() <= 16);
}
