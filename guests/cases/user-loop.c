/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * CPU 1 loops in ring 3 without an access, until CPU 0's interrupt ends the run. No loop in ring 3 is proven to be endless, so
 * jitterbug gives up: it must not say that the guest hangs, or fails.
 */
#include "user.h"

#define VECTOR 40

static SHARED volatile uint64_t n, x, go;

static void tick(void)
{
	n = n + 1;
	if (x == 3)
		exit(EXIT_OK);
}

static void user(void)
{
	x = 1;
	x = 2;
	x = 3;
	for (;;)
		pause();
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
	on_interrupt(VECTOR, tick);
	lapic_enable();
	start_ap(1, ap);
	mark();
	go = 1;
	while (x != 3)
		pause();
	send_ipi(1, VECTOR);
	halt();
}
