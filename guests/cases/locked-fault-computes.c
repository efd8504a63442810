/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * A locked instruction writes to a shared page that can be read only, and the handler of the page fault skips it. Then CPU 0
 * computes for a while: a run must not depend on how jitterbug gets from the fault to the next scheduling point.
 */
#include "gate.h"
#include "pages.h"

#define VECTOR 40
#define TURNS 2000

static SHARED volatile uint64_t go;
static SHARED volatile uint64_t done;
static SHARED volatile uint64_t page[PAGE_SIZE / sizeof(uint64_t)] __attribute__((aligned(PAGE_SIZE)));

/* CPU 0 only. */
static uint64_t faults, ticks;

static void tick(void)
{
	ticks++;
}

static NOINLINE void skip(struct frame *frame)
{
	faults++;
	frame->rip += 4; /* LOCK INC with a displacement */
}

HANDLER_WITH_CODE(on_pf, skip)

static void ap(void)
{
	lapic_enable();
	while (!go)
		pause();
	work(20);
	send_ipi(0, VECTOR);
	halt();
}

int main(unsigned cpus)
{
	(void)cpus;
	on_interrupt(VECTOR, tick);
	set_gate(PF, on_pf);
	lapic_enable();
	write_protect(page);
	start_ap(1, ap);
	mark();
	go = 1;
	__asm__ volatile("lock incl 0x10(%0)" : : "a"(page) : "cc", "memory");
	work(TURNS);
	done = 1;
	ASSERT(faults == 1 && ticks == 0);
	return EXIT_OK;
}
