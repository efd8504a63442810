/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * Every vCPU counts for ever at the bottom of a known chain of calls: something to profile, to walk and to interrupt.
 */
#include "rt.h"

/* Private to its CPU. */
struct counter {
	volatile uint64_t count;
};

static SHARED volatile uint64_t up;

NORETURN void spin_outer(void);
NORETURN void spin_middle(struct counter *counter);
NORETURN void spin_inner(struct counter *counter);

NOINLINE void spin_inner(struct counter *counter)
{
	for (;;)
		counter->count++;
}

NOINLINE void spin_middle(struct counter *counter)
{
	spin_inner(counter);
}

NOINLINE void spin_outer(void)
{
	spin_middle(own(struct counter, this_cpu()));
}

NORETURN static void ap_main(void)
{
	atomic_add(&up, 1);
	spin_outer();
}

int main(unsigned cpus)
{
	for (unsigned id = 1; id < cpus; id++)
		start_ap(id, ap_main);
	while (up != cpus - 1)
		pause();
	printf("spin: %u vCPUs up\n", cpus);
	spin_outer();
}
