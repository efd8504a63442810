/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* The first steps of an AP: on the boot stack, without an interrupt table. */
.text

.globl early_boot
.type early_boot, @function
early_boot:
    pushq %rbp
    movq %rsp, %rbp
    lidt no_idt
    movq %rsp, %rbx                     /* its own stack, for later */
    leaq boot_stack + 32 * 8, %rsp
    xorl %ebp, %ebp                     /* a stack walk ends here */
    call early_step                     /* the boot stack's first word is a return address, */
    pushq $0                            /* and then a local variable of the next step */
    movq %rbx, %rsp
    lidt idt_high
    call ap_main
.size early_boot, . - early_boot

.globl early_step
.type early_step, @function
early_step:
    pushq %rbp
    movq %rsp, %rbp
    popq %rbp
    ret
.size early_step, . - early_step

.section .rodata
no_idt:
    .word 0
    .quad 0
