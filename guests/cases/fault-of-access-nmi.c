/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * CPU 1 copies from shared memory to a page that is not there: the page fault comes behind the read. CPU 0's NMI may come
 * anywhere, also in the fault's handler, but in a repetition it must not come in another place.
 */
#include "gate.h"
#include "pages.h"

#define COPIES 10

static SHARED volatile uint64_t ready, n, x, y;

static NOINLINE void skip(struct frame *frame)
{
	for (unsigned i = 0; i < 4; i++)
		(void)x;
	frame->rip += 2; /* MOVSQ */
}

static NOINLINE void tick(struct frame *frame)
{
	y = frame->rip;
	n = n + 1;
}

HANDLER_WITH_CODE(on_pf, skip)
HANDLER(on_tick, tick)

static void ap(void)
{
	lapic_enable();
	ready = 1;
	sti();
	for (unsigned i = 0; i < COPIES && !n; i++) {
		volatile void *from = &x;
		uint64_t to = UNMAPPED;

		y = i;
		__asm__ volatile("movsq" : "+S"(from), "+D"(to) : : "memory");
	}
	while (!n)
		pause();
	cli();
	ready = 2;
	halt();
}

int main(unsigned cpus)
{
	(void)cpus;
	set_gate(PF, on_pf);
	set_gate(NMI, on_tick);
	lapic_enable();
	start_ap(1, ap);
	while (!ready)
		pause();
	mark();
	send_nmi(1);
	while (ready != 2)
		pause();
	return EXIT_OK;
}
