/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * Figure 1a of the PCT paper, an order violation: one CPU sets a pointer, the other takes for granted that it is set.
 *
 * FIXED never fails: who uses the pointer waits until it is set, and it is never taken back.
 */
#include "race.h"
#include "steps.h"

static const uint64_t object = 42;

/* Null at first. */
static SHARED const uint64_t *volatile pointer;

static NOINLINE void publish(void)
{
	steps(5);
	pointer = &object;
	steps(5);
}

static NOINLINE void use(void)
{
	steps(5);
#ifdef FIXED
	while (!pointer)
		pause();
#endif
	(void)*(const volatile uint64_t *)pointer;
	steps(5);
}

int main(unsigned cpus)
{
	race(cpus, 2, publish, use);
	return EXIT_OK;
}
