/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * Three philosophers at a round table: CPU n takes fork n, then the next one. If each has its first fork, all wait for ever.
 *
 * FIXED never fails: each takes the fork with the lower number first, so who has the highest of the forks that are taken waits
 * for nobody.
 */
#include "race.h"
#include "spinlock.h"

#define CPUS 3

static SHARED volatile uint64_t forks[CPUS];

static NOINLINE void eat(unsigned first, unsigned second)
{
	spin_lock(&forks[first]);
	spin_lock(&forks[second]);
	spin_unlock(&forks[second]);
	spin_unlock(&forks[first]);
}

static NOINLINE void philosopher(void)
{
	unsigned left = this_cpu()->id, right = (left + 1) % CPUS;

#ifdef FIXED
	if (left > right)
		eat(right, left);
	else
#endif
		eat(left, right);
}

int main(unsigned cpus)
{
	race(cpus, CPUS, philosopher, philosopher);
	return EXIT_OK;
}
