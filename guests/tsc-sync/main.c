/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include "machine.h"

#ifdef FIXED
#define NAME "tsc-sync-fixed"
#else
#define NAME "tsc-sync"
#endif

/* Nothing is printed while CPUs start: it would be a delay that the original did not have. */
int main(unsigned cpus)
{
	mlsetup();
	printf(NAME ": starting %u CPUs\n", cpus);
	mark();
	start_other_cpus(cpus);
	printf(NAME ": %u CPUs up, platform %s\n", cpus, platform_name());
	return EXIT_OK;
}
