/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * CPU 0 starts two others by INIT and SIPI. Until they have a stack of their own, they use the one boot stack: CPU 0 must not
 * start the second before the first has left it. If it does, one returns to an address that the other has overwritten by a
 * zero; there is no interrupt table yet, so the page fault is a triple fault.
 *
 * FIXED never fails: the second is started when the first has said that it is off the boot stack.
 */
#include "rt.h"

void early_boot(void);
NORETURN void ap_main(void);

/* Watched, because two CPUs may be on it. See early.S. */
SHARED uint64_t boot_stack[32];

static SHARED volatile uint64_t up;

/* On a stack of its own. */
void ap_main(void)
{
	atomic_add(&up, 1);
	halt();
}

int main(unsigned cpus)
{
	if (cpus < 3) {
		printf("not raced: %u vCPUs are too few, it takes 3\n", cpus);
		return EXIT_OK;
	}
	mark();
	start_ap(1, early_boot);
#ifdef FIXED
	while (up != 1)
		pause();
#else
	work(64); /* long enough, as a rule */
#endif
	start_ap(2, early_boot);
	while (up != 2)
		pause();
	return EXIT_OK;
}
