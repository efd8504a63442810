/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * Where everything lies: read by C, by assembly and (preprocessed) by the linker script.
 *
 * Every section has a window of its own at a fixed offset, so that a guest and its fixed twin have the same layout whatever
 * their code's size, and so that the page tables can be written down at build time. The whole image is one 2 MiB page table.
 */
#ifndef LAYOUT_H
#define LAYOUT_H

#define PAGE_SIZE   0x1000

#define KERNEL_BASE 0xfffffffffb800000  /* virtual: illumos's kernel range, which is what a symboliser should be tried on */
#define LOAD_ADDR   0x400000            /* guest-physical: above every firmware's and loader's own tables */

/* The guest-physical address of a symbol of the image. */
#define PHYS(virt)  ((virt) + (LOAD_ADDR - KERNEL_BASE))

/* The windows, as offsets into the image. */
#define TEXT_OFF    0x000000            /* starts with the exception stubs: see vectors.S */
#define TEXT_SIZE   0x020000
#define RODATA_OFF  0x020000
#define RODATA_SIZE 0x010000
#define TABLES_OFF  0x030000            /* page tables, GDT, IDT: never watched */
#define TABLES_SIZE 0x010000
#define DATA_OFF    0x040000            /* .data: the runtime's own and what is never written */
#define BSS_OFF     0x048000
#define DATA_SIZE   0x010000            /* .data and .bss together */
#define SHARED_OFF  0x050000            /* .shared: what vCPUs race for, and nothing else */
#define SHARED_SIZE 0x010000
#define PERCPU_OFF  0x080000            /* one page for each CPU */
#define STACKS_OFF  0x100000            /* for each CPU an unmapped guard page, then its stack */

#define MAX_CPUS    64
#define STACK_STRIDE 0x4000
#define PERCPU_SIZE (MAX_CPUS * PAGE_SIZE)
#define STACKS_SIZE (MAX_CPUS * STACK_STRIDE)

/*
 * The xAPIC page. Its guest-physical address, sign-extended, is a kernel address: so it needs one entry in the same page
 * directory as the image.
 */
#define LAPIC_PHYS  0xfee00000
#define LAPIC_VIRT  0xfffffffffee00000

/*
 * A page below 1 MiB for the APs' real-mode code. jitterbug keeps its boot data at 0x500-0x7fff, its command line at 0x20000
 * and its MP table in 0xf0000-0xfffff.
 */
#define TRAMPOLINE  0x8000

/* Selectors in the boot GDT (tables.S). */
#define KERNEL_CS   0x08
#define KERNEL_DS   0x10

/* The IDT: 32 exceptions, then 32 vectors for a guest's interrupts. A stub is 16 bytes. */
#define VECTORS     64
#define STUB_SIZE   16
#define IRQ_BASE    32

#define MSR_EFER    0xc0000080
#define MSR_GS_BASE 0xc0000101
#define EFER_SCE    0x001
#define EFER_LME    0x100
#define EFER_NXE    0x800
#define CR0_BOOT    0x80010033          /* PG, WP, NE, ET, MP, PE */
#define CR4_BOOT    0x20                /* PAE */

#endif
