/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * Two CPUs ask a third for something by a bit in its mailbox and an interrupt. The handler reads the mailbox and clears it: what is
 * added in between is lost, and who has asked waits for ever. (Call-function mailboxes of several kernels; ACRN #1606 is a cousin.)
 *
 * FIXED never fails: the mailbox is read and cleared by one locked instruction, so each bit is seen, and whoever sets one sends an
 * interrupt after it.
 */
#include "race.h"

#define CALL (IRQ_BASE + 4)

static SHARED volatile uint64_t mailbox;
static SHARED volatile uint64_t answered[3];

static NOINLINE void on_call(void)
{
#ifdef FIXED
	uint64_t asked = atomic_swap(&mailbox, 0);
#else
	uint64_t asked = mailbox;
	mailbox = 0;
#endif
	for (unsigned id = 1; id <= 2; id++)
		if (asked & 1ull << id)
			answered[id] = 1;
}

static NOINLINE void server(void)
{
	sti();
	while (!answered[1] || !answered[2])
		pause();
	cli();
}

static NOINLINE void ask(void)
{
	unsigned id = this_cpu()->id;

	work(64 * id);
	atomic_set_bit(&mailbox, id);
	send_ipi(0, CALL);
	while (!answered[id])
		pause();
}

int main(unsigned cpus)
{
	on_interrupt(CALL, on_call);
	race(cpus, 3, server, ask);
	return EXIT_OK;
}
