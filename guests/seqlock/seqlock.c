/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * A pair under a sequence lock: its count is odd while the writer is at it. The reader waits for an even count, but doesn't look
 * again afterwards whether the count is still the same, so it may have half of the old pair and half of the new one.
 *
 * FIXED never fails: what was read while the count stood still at an even number was read while nobody wrote. There is one
 * write, so the reader tries at most three times.
 */
#include "race.h"

static SHARED volatile uint64_t sequence;
static SHARED volatile uint64_t low = 1, high = 1;

static NOINLINE void write_pair(void)
{
	sequence = 1;
	low = 2;
	high = 2;
	sequence = 2;
}

static NOINLINE void read_pair(void)
{
	uint64_t before, l, h;

	do {
		while ((before = sequence) & 1)
			pause();
		l = low;
		h = high;
#ifdef FIXED
	} while (sequence != before);
#else
	} while (0);
#endif
	if (l != h)
		violated("the reader of a sequence lock has a torn pair");
}

int main(unsigned cpus)
{
	race(cpus, 2, read_pair, write_pair);
	return EXIT_OK;
}
