/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * An interrupt is pending while interrupts are off, and an exception's handler turns them on. The interrupt must come in the
 * handler or behind it, once, and a run must not depend on how jitterbug gets to the place where it may come.
 */
#include "gate.h"

#define VECTOR 40

static SHARED volatile uint64_t n;

static void tick(void)
{
	n = n + 1;
}

static NOINLINE void skip(struct frame *frame)
{
	sti();
	__asm__ volatile("nop\n\tnop\n\tnop");
	cli();
	frame->rip += 2; /* UD2 */
}

HANDLER(on_ud, skip)

int main(unsigned cpus)
{
	(void)cpus;
	on_interrupt(VECTOR, tick);
	set_gate(UD, on_ud);
	lapic_enable();
	cli();
	mark();
	send_ipi(0, VECTOR);
	__asm__ volatile("ud2" : : : "memory");
	sti();
	__asm__ volatile("nop\n\tnop\n\tnop");
	while (n != 1)
		pause();
	return EXIT_OK;
}
