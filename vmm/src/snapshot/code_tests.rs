use super::changes_extended_state;

#[test]
fn what_changes_only_what_travels_in_the_run_page_is_harmless() {
    for code in [
        &[0x90][..],                     // nop
        &[0x0f, 0x1f, 0x40, 0x00],       // nopl
        &[0xf0, 0x48, 0x0f, 0xb1, 0x0b], // lock cmpxchg %rcx,(%rbx)
        &[0x0f, 0x22, 0xc0],             // mov %rax,%cr0
        &[0x0f, 0x21, 0xf8],             // mov %db7,%rax
        &[0x0f, 0x30],                   // wrmsr
        &[0x0f, 0xae, 0xf0],             // mfence
        &[0xf3, 0x0f, 0x1e, 0xfa],       // endbr64
        &[0xf4, 0xee, 0xec, 0xcf],       // hlt, out, in, iret
        &[0x06, 0x07],                   // nothing in 64-bit code
    ] {
        assert!(!changes_extended_state(code), "{code:x?}");
    }
}

#[test]
fn what_changes_more_is_told_wherever_it_stands() {
    for code in [
        &[0xd9, 0xe8][..],   // fld1
        &[0x0f, 0x28, 0xc1], // movaps %xmm1,%xmm0
        &[0x0f, 0x6f, 0x00], // movq (%rax),%mm0
        &[0x0f, 0x23, 0xf8], // mov %rax,%db7
        &[0x0f, 0x01, 0xf8], // swapgs
        &[0x0f, 0x01, 0xd1], // xsetbv
        &[0x0f, 0xae, 0x28], // xrstor (%rax)
        &[0x0f, 0xae, 0x10], // ldmxcsr (%rax)
    ] {
        assert!(changes_extended_state(code), "{code:x?}");
        let behind_data = [&[0x06, 0x90, 0x90][..], code].concat();
        assert!(changes_extended_state(&behind_data), "{code:x?}");
    }
}
