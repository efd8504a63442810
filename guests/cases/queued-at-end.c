/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * A run may end while CPU 1 stands before the store of an INC, and an interrupt waits for the end of that instruction. CPU 1
 * begins the next run in HLT: its first interrupt must not be lost there because of the one that is left.
 */
#include "rt.h"

#define VECTOR 40

static SHARED volatile uint64_t ready, n, x;

static NOINLINE void tick(void)
{
	n = n + 1;
}

static void ap(void)
{
	lapic_enable();
	ready = 1;
	sti_hlt();
	if (n == 0)
		violated("HLT ends without the interrupt's handler");
	for (;;)
		__asm__ volatile("incq %0\n\tincq %0\n\tincq %0" : "+m"(x));
}

int main(unsigned cpus)
{
	(void)cpus;
	on_interrupt(VECTOR, tick);
	lapic_enable();
	start_ap(1, ap);
	while (!ready)
		pause();
	/* Time for CPU 1 to sleep. */
	for (unsigned i = 0; i < 5; i++)
		ready = 2;
	mark();
	send_ipi(1, VECTOR);
	while (!n)
		pause();
	while (x < 2)
		pause();
	send_ipi(1, VECTOR);
	/* The run may end anywhere in the second interrupt's way. */
	x = x;
	return EXIT_OK;
}
