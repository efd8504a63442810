/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * The snapshot is taken while CPU 1 stands before the store of an INC, between its two accesses, and an NMI is pending that
 * comes behind it. The NMI must not come twice, and must not be lost.
 */
#include "rt.h"

#define ICR_HIGH (*(volatile uint32_t *)(LAPIC_VIRT + 0x310))
#define ICR_LOW  (*(volatile uint32_t *)(LAPIC_VIRT + 0x300))
#define ICR_NMI  0x4400

#define PORT_MARK 0xf5

/* So many accesses of CPU 0 bring CPU 1 before its store: until the snapshot, the CPUs take turns. */
#define TURNS 6

static SHARED volatile uint64_t ready, count, x, stop, turn;

static NOINLINE void on_each_nmi(void)
{
	count = count + 1;
}

static void ap(void)
{
	lapic_enable();
	ready = 1;
	while (!stop)
		__asm__ volatile("incq %0\n\tincq %0\n\tincq %0" : "+m"(x));
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
	for (unsigned i = 0; i < TURNS; i++)
		turn = i;
	/* send_nmi and mark, without the calls and without mark's question whether anybody is there. */
	ICR_HIGH = 1 << 24;
	ICR_LOW = ICR_NMI;
	outb(PORT_MARK, 0);
	while (!count)
		pause();
	stop = 1;
	while (ready != 2)
		pause();
	ASSERT(count == 1);
	return EXIT_OK;
}
