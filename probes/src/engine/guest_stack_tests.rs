use proptest::prelude::*;

use super::*;

#[test]
fn stacks_are_printed_as_vprobes_did() {
    let mut text = Text::default();
    write(&[0xffff_ffff_fb85_45c6, 0xffff_ffff_fb85_4a79], &mut text);
    assert_eq!(text.as_bytes(), b"GUEST_0xfffffffffb8545c6_0xfffffffffb854a79");
    write(&[0], &mut text);
    assert_eq!(text.as_bytes(), b"GUEST_0x0");
    // 5 + 13 * 19 = 252: the thirteenth frame would leave no space for the mark.
    write(&[u64::MAX; 14], &mut text);
    assert_eq!(text.as_bytes().len(), 5 + 12 * 19 + 4);
    assert!(text.as_bytes().ends_with(b"f_..."));
    write(&[u64::MAX; 13], &mut text);
    assert_eq!(text.as_bytes().len(), 252);
}

proptest! {
    #[test]
    fn no_stack_is_too_long(frames in proptest::collection::vec(any::<u64>(), 0..100)) {
        let mut text = Text::default();
        write(&frames, &mut text);
        prop_assert!(text.as_bytes().len() <= Text::MAX);
    }
}
