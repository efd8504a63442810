/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * CPU 1 reads the TSC in ring 3, between accesses to shared memory, and makes no use of it. The time there is the host's, and
 * jitterbug warns of that. A run that does not depend on it must be repeatable, and must not be cut short.
 */
#include "user.h"

static SHARED volatile uint64_t x, go;

static void user(void)
{
	volatile uint64_t now;

	x = 1;
	x = 2;
	now = rdtsc();
	(void)now;
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
