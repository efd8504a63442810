use super::*;

#[test]
fn calls_of_all_forms() {
    for call in [
        &[0xe8, 1, 2, 3, 4][..],         // call rel32
        &[0xff, 0xd0],                   // call *%rax
        &[0x41, 0xff, 0xd3],             // call *%r11
        &[0xff, 0x10],                   // call *(%rax)
        &[0xff, 0x15, 1, 2, 3, 4],       // call *rel32(%rip)
        &[0xff, 0x14, 0xc5, 1, 2, 3, 4], // call *addr(,%rax,8)
        &[0xff, 0x14, 0xd8],             // call *(%rax,%rbx,8)
        &[0xff, 0x50, 8],                // call *8(%rax)
        &[0xff, 0x54, 0x24, 8],          // call *8(%rsp)
        &[0xff, 0x90, 1, 2, 3, 4],       // call *disp32(%rax)
        &[0xff, 0x94, 0x24, 1, 2, 3, 4], // call *disp32(%rsp)
        &[0xff, 0x18],                   // lcall *(%rax)
    ] {
        assert!(is_at_end(call), "{call:x?}");
        let behind_others = [&[0x90, 0x90], call].concat();
        assert!(is_at_end(&behind_others), "{call:x?}");
        let before_another = [call, &[0x90]].concat();
        assert!(!is_at_end(&before_another), "{call:x?}");
        let (_, cut) = call.split_last().expect("bytes");
        assert!(!is_at_end(cut), "{call:x?}");
    }
}

#[test]
fn what_is_no_call() {
    // jmp rel32, jmp *%rax, push (%rax), inc %eax, ret
    for code in [&[0xe9, 1, 2, 3, 4][..], &[0xff, 0xe0], &[0xff, 0x30], &[0xff, 0xc0], &[0xc3], &[]]
    {
        assert!(!is_at_end(code), "{code:x?}");
    }
}
