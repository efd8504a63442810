/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* A CPU's own GDT and TSS, in its page. The IDT is everybody's. */
#include "machine.h"

#define TSS_SELECTOR 0x30 /* two entries */

/* What LGDT and LIDT take. */
struct descriptor_table {
	uint16_t limit;
	uint64_t base;
} __attribute__((packed));

/* From the runtime. */
extern const struct descriptor_table idt_high;
extern char stacks[MAX_CPUS][STACK_STRIDE];

/* The entries below the TSS: flat, differing in their access byte and their size flags. */
static const struct segment {
	uint8_t access, flags;
} segments[TSS_SELECTOR / 8] = {
	{ 0x00, 0x0 }, /* null */
	{ 0x9b, 0xa }, /* KERNEL_CS */
	{ 0x93, 0xc }, /* KERNEL_DS */
	{ 0xfb, 0xc }, /* user code, 32-bit */
	{ 0xf3, 0xc }, /* user data */
	{ 0xfb, 0xa }, /* user code, 64-bit */
};

static void init_tss(struct cpu *cpu)
{
	uint64_t top = (uint64_t)stacks[cpu->id + 1];

	for (unsigned i = 0; i < 3; i++)
		cpu->tss.rsp[i] = top;
	for (unsigned i = 0; i < 7; i++)
		cpu->tss.ist[i] = 0; /* every exception on the stack it happened on */
	cpu->tss.iomap = sizeof cpu->tss; /* beyond the limit: no port for user mode */
}

/* The base and the limit are scattered, for the sake of the 80286. */
static uint64_t descriptor(uint32_t base, uint32_t limit, uint8_t access, uint8_t flags)
{
	return (limit & 0xffff) | (base & 0xffffffull) << 16 | (uint64_t)access << 40 | (limit & 0xf0000ull) << 32 |
	       (uint64_t)flags << 52 | (base & 0xff000000ull) << 32;
}

static void init_gdt(struct cpu *cpu)
{
	uint64_t base = (uint64_t)&cpu->tss;

	for (unsigned i = 0; i < TSS_SELECTOR / 8; i++)
		cpu->gdt[i] = segments[i].access ? descriptor(0, 0xfffff, segments[i].access, segments[i].flags) : 0;
	/* An available 64-bit TSS. The upper half of its base is in an entry of its own. */
	cpu->gdt[TSS_SELECTOR / 8] = descriptor((uint32_t)base, sizeof cpu->tss - 1, 0x89, 0);
	cpu->gdt[TSS_SELECTOR / 8 + 1] = base >> 32;
}

static void load(const struct cpu *cpu)
{
	struct descriptor_table table = { sizeof cpu->gdt - 1, (uint64_t)cpu->gdt };

	__asm__ volatile("lgdt %0" : : "m"(table) : "memory");
	__asm__ volatile("movl %0, %%ds; movl %0, %%es; movl %0, %%ss" : : "r"(KERNEL_DS) : "memory");
	__asm__ volatile("ltr %w0" : : "r"(TSS_SELECTOR) : "memory");
	__asm__ volatile("lidt %0" : : "m"(idt_high) : "memory");
}

NOINLINE void init_desctbls(struct cpu *cpu)
{
	init_tss(cpu);
	init_gdt(cpu);
	load(cpu);
}
