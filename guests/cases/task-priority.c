/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * CPU 1 raises and lowers its task priority through the page of its local APIC. While it is raised, CPU 0's interrupt must not
 * come: its class is lower.
 */
#include "rt.h"

#define TASK_PRIORITY (*(volatile uint32_t *)(LAPIC_VIRT + 0x80))
#define HIGHEST 0xf0

#define VECTOR 50

static SHARED volatile uint64_t ready, n;

static NOINLINE void tick(void)
{
	if (TASK_PRIORITY >= (VECTOR & 0xf0))
		violated("an interrupt comes though the task priority is higher");
	n = n + 1;
}

static void ap(void)
{
	lapic_enable();
	ready = 1;
	sti();
	while (!n) {
		TASK_PRIORITY = HIGHEST;
		(void)ready;
		TASK_PRIORITY = 0;
	}
	cli();
	ready = 2;
	halt();
}

int main(unsigned cpus)
{
	(void)cpus;
	on_interrupt(VECTOR, tick);
	lapic_enable();
	start_ap(1, ap);
	while (!ready)
		pause();
	mark();
	send_ipi(1, VECTOR);
	while (ready != 2)
		pause();
	return EXIT_OK;
}
