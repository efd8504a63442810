use super::*;
use crate::instruction::decode_all;

fn listed(code: &[u8]) -> bool {
    let instruction = decode_all(code, 0x1000, 64).next().expect("an instruction");
    assert_eq!(instruction.len(), code.len(), "{code:02x?}");
    is_on_the_list(&instruction)
}

#[test]
fn what_waiting_loops_are_made_of() {
    for code in [
        &[0x8b, 0x03][..],              // mov (%rbx),%eax
        &[0x48, 0x89, 0x45, 0xf8],      // mov %rax,-8(%rbp)
        &[0xf3, 0x90],                  // pause
        &[0x75, 0xfa],                  // jne
        &[0xeb, 0xfe],                  // jmp
        &[0xff, 0xd0],                  // call *%rax
        &[0xc3],                        // ret
        &[0xf0, 0x0f, 0xb1, 0x0b],      // lock cmpxchg %ecx,(%rbx)
        &[0xf0, 0x0f, 0xba, 0x2b, 0x0], // lock btsl $0,(%rbx)
        &[0x87, 0x03],                  // xchg %eax,(%rbx)
        &[0xfa],                        // cli
        &[0xfb],                        // sti
        &[0x9c],                        // pushf
        &[0x9d],                        // popf
        &[0x0f, 0xae, 0xf0],            // mfence
        &[0x0f, 0x6f, 0xc1],            // movq %mm1,%mm0
        &[0x66, 0x0f, 0xfe, 0xc1],      // paddd %xmm1,%xmm0
        &[0xd8, 0xc1],                  // fadd
        &[0xc5, 0xf1, 0xfe, 0xc2],      // vpaddd
        &[0xf3, 0x0f, 0x1e, 0xfa],      // endbr64
        &[0x0f, 0x1f, 0x00],            // nopl (%rax)
    ] {
        assert!(listed(code), "{code:02x?}");
    }
}

#[test]
fn what_can_end_a_loop_by_itself() {
    for code in [
        &[0x0f, 0x31][..],         // rdtsc
        &[0x0f, 0x01, 0xf9],       // rdtscp
        &[0x0f, 0x33],             // rdpmc
        &[0x0f, 0xc7, 0xf0],       // rdrand %eax
        &[0x0f, 0xc7, 0xf8],       // rdseed %eax
        &[0xf3, 0x0f, 0xc7, 0xf8], // rdpid %rax
        &[0x0f, 0x32],             // rdmsr
        &[0x0f, 0x30],             // wrmsr
        &[0x0f, 0xa2],             // cpuid
        &[0x44, 0x0f, 0x20, 0xc0], // mov %cr8,%rax
        &[0x0f, 0x20, 0xd0],       // mov %cr2,%rax
        &[0x0f, 0x21, 0xf0],       // mov %db6,%rax
        &[0x0f, 0x01, 0xd0],       // xgetbv
        &[0xe4, 0x60],             // in $0x60,%al
        &[0xec],                   // in (%dx),%al
        &[0xe6, 0x80],             // out %al,$0x80
        &[0x6c],                   // insb
        &[0xf4],                   // hlt
        &[0xcd, 0x80],             // int $0x80
        &[0xcc],                   // int3
        &[0x0f, 0x05],             // syscall
        &[0x48, 0xcf],             // iretq
        &[0x0f, 0x01, 0xc1],       // vmcall
        &[0xc7, 0xf8, 0, 0, 0, 0], // xbegin
        &[0x0f, 0x01, 0xc9],       // mwait
        &[0x66, 0x0f, 0xae, 0xf0], // tpause %eax
        &[0x0f, 0xae, 0x23],       // xsave (%rbx)
        &[0x0f, 0xae, 0x03],       // fxsave (%rbx)
    ] {
        assert!(!listed(code), "{code:02x?}");
    }
}
