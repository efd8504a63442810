/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * CPU 0 sleeps until there is something to do. It looks with interrupts off, allows them, and halts; the other CPU makes
 * something to do and sends an interrupt to wake it. If the interrupt is taken between STI and HLT, CPU 0 sleeps for ever.
 *
 * STI holds interrupts off for one more instruction. If that is HLT, there is no gap; here it is the store that says "asleep",
 * and the gap is after it. (A NOP would be as wrong; a store lets a hypervisor in that gives interrupts only at exits.)
 *
 * FIXED never fails: from the look to HLT interrupts are off, so one that was sent since is pending, and ends HLT at once.
 */
#include "race.h"

#define WAKE_UP IRQ_BASE

static SHARED volatile uint64_t something_to_do, asleep;

/* That it came is all. */
static void on_wake_up(void)
{
}

static NOINLINE void sleep(void)
{
#ifdef FIXED
	asleep = 1;
	sti_hlt();
#else
	sti();
	asleep = 1;
	hlt();
#endif
	cli();
}

static NOINLINE void sleeper(void)
{
	while (!something_to_do)
		sleep();
}

static NOINLINE void waker(void)
{
	something_to_do = 1;
	send_ipi(0, WAKE_UP);
}

int main(unsigned cpus)
{
	on_interrupt(WAKE_UP, on_wake_up);
	race(cpus, 2, sleeper, waker);
	return EXIT_OK;
}
