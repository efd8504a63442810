/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * A CPU switches to another address space in two steps: it says which one it uses, and then loads it. A flush that another CPU asks
 * for by an interrupt looks at what is in use, and flushes what is loaded: between the two steps, the old one. (Linux 38cf307c1f20:
 * a flush IPI between `active_mm =` and `switch_mm`.)
 *
 * FIXED never fails: both steps are taken with interrupts off, so a handler comes before both or after both.
 */
#include "race.h"

#define FLUSH (IRQ_BASE + 6)

enum mm { NOBODY, OLD, NEW };

/* Touched by CPU 0 alone, but watched: an interrupt is as good as another CPU. */
static SHARED volatile uint64_t active_mm = OLD, loaded_mm = OLD, flushed_mm;
static SHARED volatile uint64_t acknowledged;

static NOINLINE void on_flush(void)
{
	if (active_mm == NEW)
		flushed_mm = loaded_mm;
	acknowledged = 1;
}

static NOINLINE void switch_mm(void)
{
#ifdef FIXED
	cli();
#endif
	active_mm = NEW;
	loaded_mm = NEW;
#ifdef FIXED
	sti();
#endif
}

static NOINLINE void user(void)
{
	sti();
	switch_mm();
	while (!acknowledged)
		pause();
	cli();
}

static NOINLINE void flusher(void)
{
	send_ipi(0, FLUSH);
}

int main(unsigned cpus)
{
	on_interrupt(FLUSH, on_flush);
	race(cpus, 2, user, flusher);
	if (flushed_mm == OLD)
		violated("the old address space was flushed for the new one");
	return EXIT_OK;
}
