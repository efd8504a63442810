/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * Page tables, GDT and IDT, complete at build time: where an instruction costs a microsecond, a loop that fills tables is a
 * boot that one notices. They share no page with anything that is watched.
 */
#include "layout.h"

/* Accessed and dirty are set beforehand, so the processor never writes to the tables: a run leaves them as they were. */
#define TABLE   0x63                    /* present, writable, accessed, dirty */
#define R       0x61                    /* present, accessed, dirty */
#define RW      0x63
#define LARGE   0x80                    /* a 2 MiB page */
#define NOCACHE 0x18                    /* PCD, PWT */
#define NX      (1 << 63)

.macro object name
    .globl \name
    .type \name, @object
\name:
.endm

.macro end name
    .size \name, . - \name
.endm

/* One window of the image: \size bytes at \offset, 4 KiB pages. */
.macro window offset, size, rights
    .org kernel_pt + (\offset) / PAGE_SIZE * 8
    .Lpage = LOAD_ADDR + \offset
    .rept (\size) / PAGE_SIZE
    .quad .Lpage + (\rights)
    .Lpage = .Lpage + PAGE_SIZE
    .endr
.endm

.section .tables, "aw", @progbits
.balign PAGE_SIZE
object pml4
    .quad PHYS(low_pdpt) + TABLE
    .fill 510, 8, 0
    .quad PHYS(high_pdpt) + TABLE
    end pml4

object low_pdpt
    .quad PHYS(low_pd) + TABLE
    .fill 511, 8, 0
    end low_pdpt

object high_pdpt
    .fill 511, 8, 0
    .quad PHYS(high_pd) + TABLE
    end high_pdpt

/*
 * The first gigabyte as it is: the boot data, the command line, and the code that turns paging on. Nothing is executed from
 * there but the trampoline and, read-only, the image's own first steps. Page 0 is missing: there is the null pointer.
 */
object low_pd
    .quad PHYS(low_pt) + TABLE
    .Lframe = 0x200000
    .rept 511
    .if .Lframe == LOAD_ADDR
    .quad .Lframe + LARGE + R
    .else
    .quad .Lframe + LARGE + RW + NX
    .endif
    .Lframe = .Lframe + 0x200000
    .endr
    end low_pd

object low_pt
    .quad 0
    .Lframe = PAGE_SIZE
    .rept 511
    .if .Lframe == TRAMPOLINE
    .quad .Lframe + RW
    .else
    .quad .Lframe + RW + NX
    .endif
    .Lframe = .Lframe + PAGE_SIZE
    .endr
    end low_pt

/* The last gigabyte: the image, and the LAPIC. */
object high_pd
    .org high_pd + ((KERNEL_BASE >> 21) & 511) * 8
    .quad PHYS(kernel_pt) + TABLE
    .org high_pd + ((LAPIC_VIRT >> 21) & 511) * 8
    .quad LAPIC_PHYS + LARGE + RW + NOCACHE + NX
    .balign PAGE_SIZE
    end high_pd

object kernel_pt
    window TEXT_OFF, TEXT_SIZE, R
    window RODATA_OFF, RODATA_SIZE, R + NX
    window TABLES_OFF, TABLES_SIZE, RW + NX
    window DATA_OFF, DATA_SIZE, RW + NX
    window SHARED_OFF, SHARED_SIZE, RW + NX
    window PERCPU_OFF, PERCPU_SIZE, RW + NX
    .Lcpu = 0
    .rept MAX_CPUS
    window (STACKS_OFF + .Lcpu * STACK_STRIDE + PAGE_SIZE), (STACK_STRIDE - PAGE_SIZE), (RW + NX)
    .Lcpu = .Lcpu + 1
    .endr
    .balign PAGE_SIZE
    end kernel_pt

/* Flat segments, their accessed bits set. */
object gdt
    .quad 0
    .quad 0x00af9b000000ffff            /* KERNEL_CS: 64-bit code */
    .quad 0x00cf93000000ffff            /* KERNEL_DS */
    end gdt
.Lgdt_end:

/* What LGDT takes while paging is off, and what LIDT takes later. */
object gdt_low
    .word .Lgdt_end - gdt - 1
    .long PHYS(gdt)
    end gdt_low
object idt_high
    .word .Lidt_end - idt - 1
    .quad idt
    end idt_high

/* Interrupt gates to the stubs, whose addresses are known: VECTORS of them, STUB_SIZE apart, at the start of .text. */
.balign 16
object idt
    .Lstub = KERNEL_BASE + TEXT_OFF
    .rept VECTORS
    .word .Lstub & 0xffff
    .word KERNEL_CS
    .word 0x8e00                        /* present, interrupt gate */
    .word (.Lstub >> 16) & 0xffff
    .long (.Lstub >> 32) & 0xffffffff
    .long 0
    .Lstub = .Lstub + STUB_SIZE
    .endr
    end idt
.Lidt_end:

/* Room only: the loader zeroes it. */
.section .percpu, "aw", @nobits
object percpu_pages
    .skip PERCPU_SIZE
    end percpu_pages

.section .stacks, "aw", @nobits
object stacks
    .skip STACKS_SIZE
    end stacks
