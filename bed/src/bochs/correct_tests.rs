use super::*;

/// What the compiler made of the entry's end, with made-up offsets.
const ENTRY_CODE: [u8; 33] = [
    0x83, 0xa3, 1, 0, 0, 0, 0xfb, 0xc6, 0x83, 2, 0, 0, 0, 0x01, 0xf6, 0x83, 3, 0, 0, 0, 0x04, 0x74,
    0x0a, 0xc7, 0x83, 4, 0, 0, 0, 1, 0, 0, 0,
];
const SAVE_CODE: [u8; 11] = [0x8b, 0x83, 5, 0, 0, 0, 0xbe, 0x22, 0x68, 0, 0];

fn around(code: &[u8]) -> Vec<u8> {
    [&[0xcc; 7][..], code, &[0xcc; 9]].concat()
}

#[test]
fn the_mask_is_worked_out_in_the_guest() {
    let mut body = around(&ENTRY_CODE);
    correct_entry(&mut body, 0x1000, 0x2000).expect("the expected code");
    let mut expected =
        vec![0xc6, 0x83, 2, 0, 0, 0, 0x01, 0x83, 0xa3, 1, 0, 0, 0, 0xfb, 0x48, 0x89, 0xdf, 0xe8];
    // A call counts from the next instruction.
    expected.extend((0x2000_u32 - (0x1000 + 7 + 22)).to_le_bytes());
    expected.extend([0xc7, 0x83, 4, 0, 0, 0, 1, 0, 0, 0, 0x90]);
    assert_eq!(body, around(&expected));
    // It isn't corrected twice.
    correct_entry(&mut body, 0x1000, 0x2000).expect_err("other code");
}

#[test]
fn a_function_before_the_entry_is_called_too() {
    let mut body = around(&ENTRY_CODE);
    correct_entry(&mut body, 0x2000, 0x1000).expect("the expected code");
    let distance = i32::from_le_bytes(body[25..29].try_into().expect("4 bytes"));
    assert_eq!(0x2000 + 29 + distance, 0x1000);
}

#[test]
fn no_single_step_is_saved() {
    let mut body = around(&SAVE_CODE);
    correct_save(&mut body).expect("the expected code");
    let expected = [0x31, 0xc0, 0x90, 0x90, 0x90, 0x90, 0xbe, 0x22, 0x68, 0, 0];
    assert_eq!(body, around(&expected));
}

#[test]
fn other_code_is_left_alone() {
    for at in [0, 6, 13, 20, 32] {
        let mut body = around(&ENTRY_CODE);
        body[7 + at] ^= 0x40;
        let before = body.clone();
        let problem = correct_entry(&mut body, 0x1000, 0x2000).expect_err("other code");
        assert_eq!(problem, "VMLAUNCH is not the expected code");
        assert_eq!(body, before);
    }
    let problem = correct_save(&mut around(&ENTRY_CODE)).expect_err("other code");
    assert_eq!(problem, "VMexitSaveGuestState is not the expected code");
}

#[test]
fn code_in_two_places_is_left_alone() {
    let twice = |code: &[u8]| [around(code), around(code)].concat();
    correct_entry(&mut twice(&ENTRY_CODE), 0x1000, 0x2000).expect_err("two places");
    correct_save(&mut twice(&SAVE_CODE)).expect_err("two places");
}

#[test]
fn a_function_out_of_reach_is_not_called() {
    let problem = correct_entry(&mut around(&ENTRY_CODE), 0, 1 << 40).expect_err("too far");
    assert_eq!(problem, "handleInterruptMaskChange is too far away");
}

#[test]
fn a_file_that_is_no_bochs_is_refused() {
    let problem = correct(&mut b"#!/bin/sh".to_vec()).expect_err("not a program");
    assert!(problem.starts_with("not an ELF program"), "{problem}");
    let own = std::env::current_exe().expect("this program");
    let problem = correct(&mut std::fs::read(own).expect("it")).expect_err("another program");
    assert_eq!(problem, format!("it exports no {ENTRY}"));
}

#[test]
fn a_function_that_is_cut_short_is_refused() {
    let function = Function { address: 0x1000, offset: 8 };
    body(&mut [0; 16], function, 9).expect_err("too short");
    assert_eq!(body(&mut [0; 16], function, 8).map(|body| body.len()), Ok(8));
}
