/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * Figure 1b of the PCT paper, check then use: one CPU looks whether a pointer is set and uses it, the other clears it. Each
 * takes ten steps, as in the paper.
 *
 * FIXED never fails: the pointer is read once, and what it points at is never taken away.
 */
#include "race.h"
#include "steps.h"

static const uint64_t object = 42;

static SHARED const uint64_t *volatile pointer = &object;

static NOINLINE void check_then_use(void)
{
	steps(4);
#ifdef FIXED
	const volatile uint64_t *mine = pointer;
	if (mine)
		(void)*mine;
#else
	if (pointer)
		(void)*(const volatile uint64_t *)pointer;
#endif
	steps(4);
}

static NOINLINE void clear(void)
{
	steps(5);
	pointer = NULL;
	steps(4);
}

int main(unsigned cpus)
{
	race(cpus, 2, check_then_use, clear);
	return EXIT_OK;
}
