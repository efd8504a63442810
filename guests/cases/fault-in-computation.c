/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * A long computation without a scheduling point, with a page fault every few hundred instructions. An alarm has jitterbug
 * step through it: that must not show, and must not end in another place in another run.
 */
#include "gate.h"
#include "pages.h"

#define ROUNDS 600
#define TURNS 100

#define STEPS 5

static SHARED volatile uint64_t ready, step, done;

static NOINLINE void skip(struct frame *frame)
{
	frame->rip += 2; /* the MOV */
}

HANDLER_WITH_CODE(on_pf, skip)

/* Something else to go on with, or the search would be over after one run. */
static void ap(void)
{
	lapic_enable();
	ready = 1;
	for (unsigned i = 0; i < STEPS; i++)
		step = i;
	halt();
}

int main(unsigned cpus)
{
	(void)cpus;
	set_gate(PF, on_pf);
	lapic_enable();
	start_ap(1, ap);
	while (!ready)
		pause();
	mark();
	ready = 2;
	for (unsigned i = 0; i < ROUNDS; i++) {
		work(TURNS);
		__asm__ volatile("movl (%0), %%ecx" : : "a"(UNMAPPED) : "rcx", "memory");
	}
	done = 1;
	return EXIT_OK;
}
