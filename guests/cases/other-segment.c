/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * The gate of an interrupt has another code segment than the code, so its delivery is KVM's, and its handler computes until an
 * alarm. An NMI is pending beside it: in a repetition it must not come in another place.
 */
#include "gate.h"

#define VECTOR 40
#define OTHER_CS 0x18
#define TURNS 15000

static SHARED volatile uint64_t n, x, seen;

/* The boot GDT with a second code segment, as good as the first. */
static uint64_t gdt2[] = { 0, 0x00af9b000000ffff, 0x00cf93000000ffff, 0x00af9b000000ffff };

static NOINLINE void tick(void)
{
	work(TURNS);
	n = n + 1;
}

static NOINLINE void look(struct frame *frame)
{
	seen = frame->rip;
}

HANDLER(on_look, look)

static void ap(void)
{
	struct descriptor_table gdtr = { sizeof gdt2 - 1, (uint64_t)gdt2 };

	__asm__ volatile("lgdt %0" : : "m"(gdtr) : "memory");
	lapic_enable();
	x = 7;
	sti();
	for (unsigned i = 0; i < 10; i++)
		x = 7;
	x = 1;
	while (!n || !seen)
		pause();
	x = 2;
	halt();
}

int main(unsigned cpus)
{
	(void)cpus;
	on_interrupt(VECTOR, tick);
	set_gate(NMI, on_look);
	gate_of(VECTOR)[1] = OTHER_CS;
	lapic_enable();
	start_ap(1, ap);
	while (x != 7)
		pause();
	mark();
	send_ipi(1, VECTOR);
	send_nmi(1);
	while (x != 2)
		pause();
	return EXIT_OK;
}
