/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * CPU 0 starts CPU 2 by INIT and SIPI, and waits until it is up. Another CPU has been told to put CPU 2 into a known state before that,
 * and sends an INIT of its own; nobody waits for it. If it comes behind the SIPI and CPU 2 is not up yet, it goes back to waiting for
 * a SIPI that doesn't come again. (openvmm PR #3666: an asynchronous INIT throws the SIPI away.)
 *
 * FIXED never fails: CPU 0 waits until the other INIT has been sent. An INIT has its effect when the store that sends it is done.
 */
#include "race.h"

static SHARED volatile uint64_t online, reset_sent;

NORETURN static NOINLINE void third(void)
{
	online = 1;
	halt();
}

static NOINLINE void bring_up(void)
{
#ifdef FIXED
	while (!reset_sent)
		pause();
#else
	work(4096); /* long enough, as a rule */
#endif
	start_ap(2, third);
	while (!online)
		pause();
}

static NOINLINE void reset(void)
{
	send_init(2);
	reset_sent = 1;
}

int main(unsigned cpus)
{
	if (cpus < 3) {
		printf("not raced: %u vCPUs are too few, it takes 3\n", cpus);
		return EXIT_OK;
	}
	race(cpus, 2, bring_up, reset);
	return EXIT_OK;
}
