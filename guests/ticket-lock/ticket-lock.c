/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * A ticket lock whose tickets are drawn by a load and a store: two CPUs can draw the same one, and then both own the lock when
 * its turn comes. Each writes its name on its ticket: an owner that finds another's there is the second.
 *
 * FIXED never fails: a ticket is drawn in one locked instruction, so no two are the same.
 */
#include "race.h"

#define CPUS 2

static SHARED volatile uint64_t next, serving;
static SHARED volatile uint64_t owners[CPUS];

static NOINLINE uint64_t draw(void)
{
#ifdef FIXED
	return atomic_add(&next, 1);
#else
	uint64_t mine = next;
	next = mine + 1;
	return mine;
#endif
}

static NOINLINE void lock_and_unlock(void)
{
	uint64_t mine = draw();

	if (atomic_swap(&owners[mine], this_cpu()->id + 1))
		violated("a ticket has two owners");
	while (serving != mine)
		pause();
	serving = mine + 1;
}

int main(unsigned cpus)
{
	race(cpus, CPUS, lock_and_unlock, lock_and_unlock);
	return EXIT_OK;
}
