/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * It looks at its memory until that has changed by itself. What it keeps three times, it can repair; what it keeps once, it
 * can't.
 */
#include "rt.h"

#define VALUE 0x5aa5

volatile uint64_t copies[3] = { VALUE, VALUE, VALUE };
volatile uint64_t single = VALUE;

static NOINLINE uint64_t repaired(void)
{
	uint64_t a = copies[0], b = copies[1], c = copies[2], most = (a & b) | (b & c) | (a & c);

	if (most != VALUE)
		violated("two copies have changed");
	/* What changes meanwhile must not be written over. */
	if (a ^ b ^ c ^ VALUE)
		copies[0] = copies[1] = copies[2] = VALUE;
	return a ^ b ^ c ^ VALUE;
}

int main(unsigned cpus)
{
	uint64_t change;

	(void)cpus;
	mark();
	do {
		if (single != VALUE)
			violated("a single value has changed");
		change = repaired();
	} while (!change);
	printf("repaired 0x%lx\n", change);
	return EXIT_OK;
}
