/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* The steps of the PCT paper's figures: accesses that are scheduling points and matter to nobody. */
#ifndef STEPS_H
#define STEPS_H

#include "rt.h"

/* Where each CPU is. Only that CPU writes there, and nobody reads. */
static SHARED volatile uint64_t steps_done[MAX_CPUS];

static NOINLINE void steps(unsigned n)
{
	volatile uint64_t *mine = &steps_done[this_cpu()->id];

	while (n)
		*mine = n--;
}

#endif
