/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * Each CPU adds one to a counter, by a load and a store. Who comes in between is overwritten, and the sum is short.
 *
 * FIXED never fails: each addition is one locked instruction, so they follow one another, and the last makes it CPUS.
 */
#include "race.h"

#define CPUS 2

static SHARED volatile uint64_t counter;

static NOINLINE void add_one(void)
{
#ifdef FIXED
	atomic_add(&counter, 1);
#else
	uint64_t seen = counter;
	counter = seen + 1;
#endif
}

int main(unsigned cpus)
{
	race(cpus, CPUS, add_one, add_one);
	if (counter != CPUS)
		violated("an addition was lost, the counter is too low");
	return EXIT_OK;
}
