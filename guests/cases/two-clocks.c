/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * CPU 1 tells its time by the TSC, again and again, and CPU 0 compares it with its own: they may differ by a second, and no
 * clock may go back.
 */
#include "rt.h"

#define TIMING_LEAF 0x40000010 /* VMware's: EAX has the rate of the TSC in kHz */

static SHARED volatile uint64_t told;

static NORETURN void teller(void)
{
	for (;;)
		told = rdtsc();
}

int main(unsigned cpus)
{
	uint64_t second = 1000 * (uint64_t)cpuid(TIMING_LEAF).eax, start, last, other = 0;

	ASSERT(cpus > 1 && second);
	start_ap(1, teller);
	while (!told)
		pause();
	mark();
	start = last = rdtsc();
	while (last - start < second / 4) {
		uint64_t theirs = told, now = rdtsc();
		if (now < last || theirs < other)
			violated("a clock went back");
		if (theirs > now + second || now > theirs + second)
			violated("the clocks differ");
		last = now;
		other = theirs;
	}
	return EXIT_OK;
}
