/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * CPU 1 beats, and CPU 0 has no patience: it fails if it sees no beat for a second of its TSC. It ends after a hundred
 * beats that are a millisecond apart, or more.
 */
#include "rt.h"

#define TIMING_LEAF 0x40000010 /* VMware's: EAX has the rate of the TSC in kHz */
#define ENOUGH 100

static SHARED volatile uint64_t beats;

static NORETURN void heart(void)
{
	uint64_t ms = cpuid(TIMING_LEAF).eax, last = rdtsc();

	for (;;) {
		while (rdtsc() - last < ms)
			pause();
		last = rdtsc();
		beats++;
	}
}

int main(unsigned cpus)
{
	uint64_t second = 1000 * (uint64_t)cpuid(TIMING_LEAF).eax, seen = 0, when;

	ASSERT(cpus > 1 && second);
	start_ap(1, heart);
	while (!beats)
		pause();
	mark();
	when = rdtsc();
	while (seen < ENOUGH) {
		uint64_t now = beats;
		if (now != seen)
			when = rdtsc();
		else if (rdtsc() - when > second)
			violated("CPU 1 has no heartbeat");
		seen = now;
	}
	return EXIT_OK;
}
