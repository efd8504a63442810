use super::*;
use crate::test_guest::TSC_SYNC;

/// The address of the code of [`TSC_SYNC`], which is loaded where it is linked.
const TEXT: u64 = 0xffff_ffff_fb85_4000;

#[test]
fn addresses_and_bytes_are_those_of_the_segments() {
    assert_eq!(linear(TSC_SYNC, TEXT + 0x10), Some(TEXT + 0x10));
    assert_eq!(linear(TSC_SYNC, 0x1000), None);
    assert_eq!(physical(TSC_SYNC, TEXT + 0x10), Some(TEXT + 0x10));
    assert_eq!(physical(TSC_SYNC, 0x1000), None);
    // hlt, at mp_idle
    assert_eq!(bytes(TSC_SYNC, TEXT + 0x49, 1), Some(&[0xf4][..]));
    let all = bytes(TSC_SYNC, TEXT, u64::MAX).expect("code");
    assert!(all.len() >= 0x4c && bytes(TSC_SYNC, TEXT + all.len() as u64, 1).is_none());
}

#[test]
fn what_is_not_an_image_has_no_segments() {
    for image in [&b""[..], b"#!/bin/sh", &TSC_SYNC[..70]] {
        assert_eq!((linear(image, TEXT), bytes(image, TEXT, 1)), (None, None));
    }
}
