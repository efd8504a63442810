/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * The handler of one vector turns interrupts on and then writes the EOI, while another vector is pending. What comes behind
 * the EOI is in service then: it must not interrupt its own handler.
 */
#include "rt.h"

#define FIRST 40
#define OTHER 50

static SHARED volatile uint64_t ready, n, x, stop;

/* CPU 1 only. */
static uint64_t depth;

static NOINLINE void on_first(void)
{
	sti(); /* the EOI is the caller's */
}

static NOINLINE void on_other(void)
{
	if (++depth != 1)
		violated("a vector interrupts its own handler before the EOI");
	sti();
	for (unsigned i = 0; i < 4; i++)
		(void)x;
	cli();
	depth--;
	n = n + 1;
}

static void ap(void)
{
	lapic_enable();
	ready = 1;
	sti();
	while (!stop)
		pause();
	cli();
	ready = 2;
	halt();
}

int main(unsigned cpus)
{
	(void)cpus;
	on_interrupt(FIRST, on_first);
	on_interrupt(OTHER, on_other);
	lapic_enable();
	start_ap(1, ap);
	while (!ready)
		pause();
	mark();
	send_ipi(1, FIRST);
	send_ipi(1, OTHER);
	(void)x;
	(void)x;
	send_ipi(1, OTHER);
	send_ipi(1, OTHER);
	while (!n)
		pause();
	stop = 1;
	while (ready != 2)
		pause();
	return EXIT_OK;
}
