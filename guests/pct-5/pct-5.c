/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * Figure 5 of the PCT paper, the long prefix: one CPU takes twenty steps and then a resource away; the other uses it as the
 * first thing that it does, and thinks that it is early enough. Who tosses a coin at every step tosses 2^20 times; who draws
 * priorities once is right half of the time.
 *
 * FIXED never fails: the resource is taken away only after its user has said that it is done with it.
 */
#include "race.h"
#include "steps.h"

static SHARED volatile uint64_t gone;
static SHARED volatile uint64_t used;

static NOINLINE void take_away(void)
{
	steps(20);
#ifdef FIXED
	while (!used)
		pause();
#endif
	gone = 1;
}

static NOINLINE void use(void)
{
	if (gone)
		violated("the resource was gone before its user came");
#ifdef FIXED
	used = 1;
#endif
}

int main(unsigned cpus)
{
	race(cpus, 2, use, take_away);
	return EXIT_OK;
}
