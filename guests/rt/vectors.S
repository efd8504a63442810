/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* The exception and interrupt stubs: each brings the stack into the shape of struct trapframe (trap.h) and calls trap(). */
#include "layout.h"

/* The exceptions that push an error code: #DF, #TS, #NP, #SS, #GP, #PF, #AC, #CP, #VC, #SX. The others push a zero here. */
#define ERROR_CODES 0x60227d00

.section .text.vectors, "ax", @progbits
.globl vectors
.type vectors, @function
vectors:
    .Lvector = 0
    .rept VECTORS
    .balign STUB_SIZE, 0xcc
    .if !((.Lvector < 32) && ((ERROR_CODES >> .Lvector) & 1))
    pushq $0
    .endif
    pushq $.Lvector
    jmp trap_entry
    .Lvector = .Lvector + 1
    .endr
    .balign STUB_SIZE, 0xcc
.size vectors, . - vectors

.text
.type trap_entry, @function
trap_entry:
    pushq %rax
    pushq %rcx
    pushq %rdx
    pushq %rbx
    pushq %rbp
    pushq %rsi
    pushq %rdi
    pushq %r8
    pushq %r9
    pushq %r10
    pushq %r11
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, %rdi
    /* A frame whose return address is the interrupted instruction: a stack walk goes on through the interrupt. */
    pushq 17 * 8(%rsp)
    pushq %rbp
    movq %rsp, %rbp
    call trap
    addq $16, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %r11
    popq %r10
    popq %r9
    popq %r8
    popq %rdi
    popq %rsi
    popq %rbp
    popq %rbx
    popq %rdx
    popq %rcx
    popq %rax
    addq $16, %rsp                      /* vector, error code */
    iretq
.size trap_entry, . - trap_entry
