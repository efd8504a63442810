/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * A CPU says that it is online, with interrupts on, before it has loaded its interrupt table. Another one sees it, and asks it by an
 * interrupt to flush: if that comes before the table is loaded, it is a triple fault. (OSv #102: a flush waits for CPUs whose IDT isn't
 * loaded yet.)
 *
 * FIXED never fails: the table is loaded first.
 */
#include "race.h"

#define FLUSH (IRQ_BASE + 7)

static SHARED volatile uint64_t online, set_up, ready, flushed;

static const struct __attribute__((packed)) {
	uint16_t limit;
	uint64_t base;
} no_table;

ALWAYS_INLINE void load_no_table(void)
{
	__asm__ volatile("lidt %0" : : "m"(no_table) : "memory");
}

/* As boot.S does. */
ALWAYS_INLINE void load_table(void)
{
	__asm__ volatile("lidt idt_high" : : : "memory");
}

static NOINLINE void on_flush(void)
{
	flushed = 1;
}

static NOINLINE void flush_others(void)
{
	while (!online)
		pause();
	work(64); /* it has its table by now, as a rule */
	send_ipi(1, FLUSH);
	while (!flushed)
		pause();
}

static NOINLINE void start(void)
{
	load_no_table(); /* as firmware leaves it */
#ifdef FIXED
	load_table();
#endif
	sti();
	online = 1;
	set_up = 1; /* whatever else there is to do first */
#ifndef FIXED
	load_table();
#endif
	ready = 1;
	while (!flushed)
		pause();
	cli();
}

int main(unsigned cpus)
{
	on_interrupt(FLUSH, on_flush);
	race(cpus, 2, flush_others, start);
	return EXIT_OK;
}
