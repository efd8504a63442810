/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * CPU 0 interrupts another CPU and waits for its acknowledgement, with a lock held. The other one wants that lock, with interrupts
 * off: neither ever goes on. (Haiku r20269: a boot ICI's acknowledgement against a CPU that spins with interrupts off.)
 *
 * FIXED never fails: the lock is given back before the wait, so the other CPU gets it, and turns interrupts on again.
 */
#include "race.h"
#include "spinlock.h"

#define SYNCHRONISE (IRQ_BASE + 5)

static SHARED volatile uint64_t lock, acknowledged, started, done;

static NOINLINE void on_synchronise(void)
{
	acknowledged = 1;
}

static NOINLINE void caller(void)
{
	spin_lock(&lock);
#ifdef FIXED
	spin_unlock(&lock);
#endif
	send_ipi(1, SYNCHRONISE);
	while (!acknowledged)
		pause();
#ifndef FIXED
	spin_unlock(&lock);
#endif
}

static NOINLINE void other(void)
{
	sti();
	started = 1;
	work(4096); /* the interrupt comes here, as a rule */
	cli();
	spin_lock(&lock);
	done = 1;
	spin_unlock(&lock);
	sti();
	while (!acknowledged)
		pause();
}

int main(unsigned cpus)
{
	on_interrupt(SYNCHRONISE, on_synchronise);
	race(cpus, 2, caller, other);
	return EXIT_OK;
}
