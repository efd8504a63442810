/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * CPU 0 gives work to CPU 1 and rings a bell. It trusts in nothing: it rings again while there is no answer, the handler takes
 * the work that is there and asks for nothing else, and every CPU has handlers for bells and NMIs that are not meant for it.
 * No loss, delay or repetition of a bell, and no stray interrupt, makes it fail.
 */
#include "rt.h"

#define BELL (IRQ_BASE + 1)
#define ROUNDS 3

static SHARED volatile uint64_t ready, work_given, work_done;

static NOINLINE void answer(void)
{
	if (this_cpu()->id == 1)
		work_done = work_given;
}

static NOINLINE void ignore(void)
{
}

static NORETURN void worker(void)
{
	lapic_enable();
	atomic_add(&ready, 1);
	idle();
}

static NOINLINE void give(uint64_t number)
{
	work_given = number;
	while (work_done != number) {
		send_ipi(1, BELL);
		for (unsigned turn = 0; turn < 20 && work_done != number; turn++)
			pause();
	}
}

int main(unsigned cpus)
{
	on_interrupt(BELL, answer);
	on_nmi(ignore);
	lapic_enable();
	for (unsigned id = 1; id < cpus; id++)
		start_ap(id, worker);
	while (ready != cpus - 1)
		pause();
	mark();
	sti();
	for (uint64_t number = 1; number <= ROUNDS; number++)
		give(number);
	cli();
	return EXIT_OK;
}
