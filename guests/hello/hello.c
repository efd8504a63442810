/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * Starts every vCPU, says how many came up and on what hypervisor. With one vCPU it is the start-up benchmark, so it does
 * nothing else. If a vCPU never comes up, it waits for it for ever: to tell who waits for whom is the hypervisor's trade.
 */
#include "rt.h"

static SHARED volatile uint64_t up;

static void ap_main(void)
{
	atomic_add(&up, 1);
	idle();
}

static void start_all(unsigned cpus)
{
	for (unsigned id = 1; id < cpus; id++)
		start_ap(id, ap_main);
	while (up != cpus - 1)
		pause();
}

/* Leaf 1 says whether there is a hypervisor at all, leaf 0x40000000 who. */
static const char *hypervisor(void)
{
	static uint32_t name[4];

	if (!(cpuid(1).ecx & 1u << 31))
		return "none";
	struct cpuid id = cpuid(0x40000000);
	name[0] = id.ebx;
	name[1] = id.ecx;
	name[2] = id.edx;
	return (const char *)name;
}

int main(unsigned cpus)
{
	if (cpus > 1)
		start_all(cpus);
	printf("hello: %u vCPUs up, hypervisor %s\n", cpus, hypervisor());
	return EXIT_OK;
}
