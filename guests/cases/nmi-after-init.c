/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * The snapshot is taken while CPU 1 is in its handler of an NMI. Then CPU 1 is reset and started again, and gets another NMI.
 * An INIT ends the blocking of NMIs: this one must not be held back.
 */
#include "rt.h"

static SHARED volatile uint64_t in, go, count, ready, second;

static NOINLINE void on_each_nmi(void)
{
	count = count + 1;
	if (second)
		return;
	in = count;
	while (!go)
		pause();
}

static void ap(void)
{
	lapic_enable();
	ready = 1;
	while (!second)
		pause();
	ready = 2;
	while (count != 2)
		pause();
	ready = 3;
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
	second = 1;
	start_ap(1, ap);
	while (ready != 2)
		pause();
	send_nmi(1);
	while (ready != 3)
		pause();
	go = 1;
	ASSERT(count == 2);
	return EXIT_OK;
}
