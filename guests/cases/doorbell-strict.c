/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * CPU 0 gives work to CPU 1 and rings two bells, the urgent one first. It trusts in all of it: that each bell comes, once,
 * in order and to CPU 1 alone, and that nothing else comes. Without faults it never fails.
 */
#include "rt.h"

#define PLAIN  (IRQ_BASE + 1)
#define URGENT (IRQ_BASE + 17) /* a higher priority: if both are pending, it comes first */
#define PATIENCE 200

static SHARED volatile uint64_t ready, urgent, plain;

static NOINLINE void on_urgent(void)
{
	if (this_cpu()->id != 1)
		violated("a bell rang at another CPU");
	if (++urgent != 1)
		violated("the urgent bell rang twice");
}

static NOINLINE void on_plain(void)
{
	if (this_cpu()->id != 1)
		violated("a bell rang at another CPU");
	if (urgent == 0)
		violated("the plain bell came before the urgent one");
	if (++plain != 1)
		violated("the plain bell rang twice");
}

static NORETURN void worker(void)
{
	lapic_enable();
	atomic_add(&ready, 1);
	idle();
}

int main(unsigned cpus)
{
	on_interrupt(PLAIN, on_plain);
	on_interrupt(URGENT, on_urgent);
	lapic_enable();
	for (unsigned id = 1; id < cpus; id++)
		start_ap(id, worker);
	while (ready != cpus - 1)
		pause();
	mark();
	sti();
	send_ipi(1, URGENT);
	send_ipi(1, PLAIN);
	while (plain == 0)
		pause();
	/* Whoever rings twice has time to. */
	for (unsigned turn = 0; turn < PATIENCE; turn++)
		(void)ready;
	cli();
	return EXIT_OK;
}
