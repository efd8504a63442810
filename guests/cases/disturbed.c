/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * It waits until something has disturbed it three times: an NMI, or an interrupt with the one vector that has a handler. CPU 0
 * is awake meanwhile, the other CPUs sleep. Any other interrupt is unexpected.
 */
#include "rt.h"

#define EXPECTED (IRQ_BASE + 1)
#define ENOUGH 3

static SHARED volatile uint64_t ready, disturbed;

static NOINLINE void on_event(void)
{
	atomic_add(&disturbed, 1);
}

static NORETURN void sleeper(void)
{
	lapic_enable();
	atomic_add(&ready, 1);
	idle();
}

int main(unsigned cpus)
{
	on_nmi(on_event);
	on_interrupt(EXPECTED, on_event);
	lapic_enable();
	for (unsigned id = 1; id < cpus; id++)
		start_ap(id, sleeper);
	while (ready != cpus - 1)
		pause();
	mark();
	sti();
	while (disturbed < ENOUGH)
		pause();
	cli();
	return EXIT_OK;
}
