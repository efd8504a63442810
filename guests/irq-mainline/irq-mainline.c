/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * A queue that CPU 0 fills, in its mainline and in an interrupt handler. The mainline doesn't hold off interrupts: an item that
 * the handler queues in the middle is overwritten. The other CPU's only part is to send the interrupt.
 *
 * FIXED never fails: both fill the queue with interrupts off, on the same CPU, so one after the other.
 */
#include "race.h"

#define SEND_ITEM     (IRQ_BASE + 2)
#define FROM_MAINLINE 1
#define FROM_HANDLER  2

/* Touched by CPU 0 alone, but watched: an interrupt is as good as another CPU. */
static SHARED volatile uint64_t items[2], tail;
static SHARED volatile uint64_t handled;

static NOINLINE void queue(uint64_t item)
{
	uint64_t at = tail;

	items[at] = item;
	tail = at + 1;
}

static NOINLINE void on_send_item(void)
{
	queue(FROM_HANDLER);
	handled = 1;
}

static NOINLINE void mainline(void)
{
#ifdef FIXED
	queue(FROM_MAINLINE);
	sti();
#else
	sti();
	queue(FROM_MAINLINE);
#endif
	while (!handled)
		pause();
	cli();
}

static NOINLINE void sender(void)
{
	send_ipi(0, SEND_ITEM);
}

int main(unsigned cpus)
{
	on_interrupt(SEND_ITEM, on_send_item);
	race(cpus, 2, mainline, sender);
	if (tail != 2 || items[0] + items[1] != FROM_MAINLINE + FROM_HANDLER)
		violated("an item is missing in the queue");
	return EXIT_OK;
}
