/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * CPU 1 computes in ring 3 for longer than it takes to an alarm, and then goes on. The alarm must not change what it computes
 * with, and must not be the end of the run.
 */
#include "user.h"

#define TURNS 100000000

static SHARED volatile uint64_t x, go;

static void user(void)
{
	x = 1;
	for (volatile uint64_t i = 0; i < TURNS; i++)
		;
	x = 3;
	for (;;)
		x = 3;
}

static void ap(void)
{
	lapic_enable();
	user_setup();
	while (!go)
		pause();
	to_user(user);
}

int main(unsigned cpus)
{
	(void)cpus;
	lapic_enable();
	start_ap(1, ap);
	mark();
	go = 1;
	while (x != 3)
		pause();
	return EXIT_OK;
}
