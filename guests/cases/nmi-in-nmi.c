/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * The snapshot is taken while CPU 1 is in its handler of an NMI, and CPU 0 sends a second one. It must not come before the
 * IRET of the first, and must not be lost.
 */
#include "rt.h"

static SHARED volatile uint64_t in, go, depth, count, ready;

static NOINLINE void on_each_nmi(void)
{
	if (depth != 0)
		violated("an NMI in the handler of an NMI");
	depth = 1;
	count = count + 1;
	in = count;
	while (!go)
		pause();
	depth = 0;
}

static void ap(void)
{
	lapic_enable();
	ready = 1;
	while (count != 2)
		pause();
	ready = 2;
	halt();
}

int main(unsigned cpus)
{
	(void)cpus;
	on_nmi(on_each_nmi);
	lapic_enable();
	start_ap(1, ap);
	while (!ready)
		pause();
	send_nmi(1);
	while (in != 1)
		pause();
	mark();
	send_nmi(1);
	go = 1;
	while (ready != 2)
		pause();
	ASSERT(count == 2);
	return EXIT_OK;
}
