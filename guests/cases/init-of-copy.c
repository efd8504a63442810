/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * CPU 1 copies from shared memory to its own over and over, and an INIT resets it while it stands before such a copy. The copy
 * is done as a whole or not at all: its target must never hold anything else than what the source does.
 */
#include "rt.h"

#define VALUE 0x1234

static SHARED volatile uint64_t ready, from, y;

/* CPU 1's, until its INIT. */
static volatile uint64_t to = VALUE;

static void ap(void)
{
	lapic_enable();
	ready = 1;
	for (;;) {
		volatile uint64_t *source = &from, *target = &to;

		y++;
		__asm__ volatile("movsq" : "+S"(source), "+D"(target) : : "memory");
	}
}

int main(unsigned cpus)
{
	(void)cpus;
	from = VALUE;
	lapic_enable();
	start_ap(1, ap);
	while (!ready)
		pause();
	mark();
	ready = 2;
	ready = 3;
	send_init(1);
	ASSERT(to == VALUE);
	return EXIT_OK;
}
