/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* It reads the time from KVM's clock for a while (Linux documentation, virt/kvm/x86/msr.rst), which must neither jump nor go back. */
#include "rt.h"

#define SYSTEM_TIME_NEW 0x4b564d01
#define ENABLED 1
#define SECOND 1000000000ul

static volatile struct {
	uint32_t version, pad;
	uint64_t tsc, time;
	uint32_t mul;
	int8_t shift;
	uint8_t flags, pad2[2];
} info __attribute__((aligned(64)));

static NOINLINE uint64_t nanoseconds(void)
{
	for (;;) {
		uint32_t version = info.version;
		uint64_t passed = rdtsc() - info.tsc;
		passed = info.shift < 0 ? passed >> -info.shift : passed << info.shift;
		passed = info.time + (uint64_t)((unsigned __int128)passed * info.mul >> 32);
		if (!(version & 1) && version == info.version)
			return passed;
	}
}

int main(unsigned cpus)
{
	uint64_t start, last;

	(void)cpus;
	wrmsr(SYSTEM_TIME_NEW, PHYS((uint64_t)&info) | ENABLED);
	start = last = nanoseconds();
	mark();
	while (last - start < SECOND / 2) {
		uint64_t now = nanoseconds();
		if (now < last)
			violated("the clock went back");
		if (now - last > SECOND)
			violated("the clock jumped");
		last = now;
	}
	return EXIT_OK;
}
