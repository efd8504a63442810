/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * From the loader to C. Two ways in:
 *
 *   pvh_start   CPU 0, from a PVH loader: 32-bit protected mode, paging off, EBX = hvm_start_info
 *   ap_start16  every other CPU, from its SIPI: real mode, at TRAMPOLINE
 *
 * Both turn paging on with the static tables, reach 64-bit code in the identity map, and jump up to KERNEL_BASE. Every stack
 * ends with a frame whose saved RBP and return address are zero, so that a walk along the frame pointers ends there.
 */
#include "layout.h"

.macro function name
    .globl \name
    .type \name, @function
\name:
.endm

.macro end name
    .size \name, . - \name
.endm

/* Paging and long mode in one go: also from real mode, protection and paging may be switched on together. */
.macro long_mode target
    movl $CR4_BOOT, %eax
    movl %eax, %cr4
    movl $PHYS(pml4), %eax
    movl %eax, %cr3
    movl $MSR_EFER, %ecx
    movl $(EFER_LME | EFER_NXE), %eax
    xorl %edx, %edx
    wrmsr
    movl $CR0_BOOT, %eax
    movl %eax, %cr0
    ljmpl $KERNEL_CS, $PHYS(\target)
.endm

/* Segments, %gs = the per-CPU page, the IDT. In: EDI = this CPU's number. Leaves RSP at the top of its stack, RBP = 0. */
.macro own_state
    movl $KERNEL_DS, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %ss
    movl %edi, %eax
    shll $12, %eax                      /* a page each */
    leaq percpu_pages(%rax), %rsi
    leaq stacks + STACK_STRIDE(,%rax,STACK_STRIDE / PAGE_SIZE), %rsp
    movl %esi, %eax
    movl $-1, %edx                      /* a kernel address: its upper half is all ones */
    movl $MSR_GS_BASE, %ecx
    wrmsr
    movq %rsi, (%rsi)                   /* struct percpu: self, id */
    movl %edi, 8(%rsi)
    lidt idt_high
    xorl %ebp, %ebp
.endm

.section .note.pvh, "a", @note
    .balign 4
    .long 4, 4, 18                      /* name and descriptor sizes, XEN_ELFNOTE_PHYS32_ENTRY */
    .asciz "Xen"
    .long PHYS(pvh_start)

.text
.code32
function pvh_start
    cli
    cld
    lgdt PHYS(gdt_low)
    long_mode low64
end pvh_start

.code64
/* Still in the identity map. */
function low64
    movq $boot, %rax
    jmp *%rax
end low64

function boot
    xorl %edi, %edi
    own_state
    pushq $0
    pushq %rbp
    movq %rsp, %rbp
    movl %ebx, %edi
    call rt_init
    movl %eax, %edi
    call main
    movl %eax, %edi
    call exit
end boot

/*
 * The trampoline. It is linked with the read-only data and copied to TRAMPOLINE, so it refers to itself by offsets from its
 * segment, and to the image by absolute guest-physical addresses.
 */
.section .rodata
.code16
.globl trampoline_start, trampoline_end
.balign 8
trampoline_start:
function ap_start16
    cli
    cld
    movw %cs, %ax
    movw %ax, %ds
    lgdtl ap_gdt - trampoline_start
    long_mode ap_low64
end ap_start16
ap_gdt:
    .word 0x17
    .long PHYS(gdt)
    .balign 8
trampoline_end:

.text
.code64
function ap_low64
    movq $ap_boot, %rax
    jmp *%rax
end ap_low64

/* A CPU's number is its initial APIC id. Its entry function is the last frame of its stack: nothing is below. */
function ap_boot
    movl $1, %eax
    cpuid
    shrl $24, %ebx
    movl %ebx, %edi
    own_state
    pushq $0
    jmp *16(%rsi)                       /* struct percpu: entry */
end ap_boot
