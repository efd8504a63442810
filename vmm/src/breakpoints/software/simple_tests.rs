use super::*;
use crate::instruction::decode_all;

fn simple(code: &[u8]) -> bool {
    is_simple(&decode_all(code, 0x1000, 64).next().unwrap())
}

#[test]
fn what_functions_begin_with_is_simple() {
    for code in [
        &[0xf3, 0x0f, 0x1e, 0xfa][..], // endbr64
        &[0x55],                       // push %rbp
        &[0x41, 0x57],                 // push %r15
        &[0x48, 0x89, 0xe5],           // mov %rsp,%rbp
        &[0x48, 0x83, 0xec, 0x18],     // sub $0x18,%rsp
        &[0x31, 0xc0],                 // xor %eax,%eax
        &[0xe8, 0, 0, 0, 0],           // call
        &[0xc3],                       // ret
        &[0x0f, 0x1f, 0x44, 0, 0],     // nopl 0(%rax,%rax,1)
        &[0x48, 0x8d, 0x47, 0x08],     // lea 8(%rdi),%rax
        &[0x74, 0x02],                 // je
    ] {
        assert!(simple(code), "{code:x?}");
    }
}

#[test]
fn what_may_fault_or_show_a_step_is_not() {
    for code in [
        &[0xfb][..],         // sti
        &[0xfa],             // cli
        &[0x9c],             // pushf
        &[0x9d],             // popf
        &[0xf4],             // hlt
        &[0xcc],             // int3
        &[0xcd, 0x80],       // int $0x80
        &[0x0f, 0x0b],       // ud2
        &[0x48, 0xcf],       // iretq
        &[0x8e, 0xd0],       // mov %eax,%ss
        &[0x0f, 0x22, 0xd8], // mov %rax,%cr3
        &[0x48, 0x8b, 0x07], // mov (%rdi),%rax
        &[0xf0, 0xff, 0x07], // lock incl (%rdi)
        &[0xff, 0x27],       // jmp *(%rdi)
        &[0xff, 0x37],       // push (%rdi)
        &[0xf3, 0xa4],       // rep movsb
        &[0xf7, 0xf1],       // div %ecx
        &[0x0f, 0x32],       // rdmsr
        &[0x0f, 0xa2],       // cpuid
        &[0xec],             // in (%dx),%al
        &[0x0f, 0x05],       // syscall
    ] {
        assert!(!simple(code), "{code:x?}");
    }
}
