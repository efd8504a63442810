/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * The frame of a small race: CPUs that are released together, and CPU 0 that ends the run when all are through.
 *
 * The gate is one store of CPU 0's and orders nothing after it: anybody may be the first to go on. On a plain run it is CPU 0,
 * which runs already; the others have some work to do first, so that each comes a little later than the one before.
 */
#ifndef RACE_H
#define RACE_H

#include "rt.h"

static SHARED volatile uint64_t race_ready, race_open, race_finished;

/* Written before there are other CPUs. */
static void (*race_part)(void);

NORETURN static void race_ap(void)
{
	lapic_enable();
	atomic_add(&race_ready, 1);
	while (!race_open)
		pause();
	work(16 * this_cpu()->id);
	race_part();
	atomic_add(&race_finished, 1);
	halt();
}

/* Runs `first` on CPU 0 and `other` on each of the `n` - 1 others; returns when all have returned. Further CPUs stay off. */
static void race(unsigned cpus, unsigned n, void (*first)(void), void (*other)(void))
{
	if (cpus < n) {
		printf("not raced: %u vCPUs are too few, it takes %u\n", cpus, n);
		exit(EXIT_OK);
	}
	lapic_enable();
	race_part = other;
	for (unsigned id = 1; id < n; id++)
		start_ap(id, race_ap);
	while (race_ready != n - 1)
		pause();
	mark();
	race_open = 1;
	first();
	while (race_finished != n - 1)
		pause();
}

#endif
