/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * A CPU moves a page to a new frame: it changes the entry, asks CPU 0 by an interrupt to forget the old translation, waits for
 * the acknowledgement, and uses the old frame for something else. CPU 0 acknowledges at once and flushes when it is convenient:
 * until then it reads the old frame.
 *
 * The TLB is software, a translation that a CPU keeps in its own page, because a hypervisor can't count on the real one: some
 * hosts have none for ring 0, others drop its entries at every exit. A load with its translation is one instruction on a real
 * CPU, so here it is done with interrupts off.
 *
 * FIXED never fails: what a CPU translates after its acknowledgement it translates by the new entry, and what it had translated
 * before it has loaded.
 */
#include "race.h"

#define SHOOTDOWN (IRQ_BASE + 1)
#define CONTENT   42
#define REUSED    0x6b6b6b6b

enum frame { OLD, NEW };

static SHARED volatile uint64_t entry = OLD;
static SHARED volatile uint64_t frames[] = { [OLD] = CONTENT, [NEW] = CONTENT };
static SHARED volatile uint64_t acknowledged;
static SHARED volatile uint64_t turns; /* what CPU 0 does besides */

/* In each CPU's page; only that CPU uses it once it runs. */
struct tlb {
	volatile bool valid, flush_later;
	volatile uint64_t frame;
};

static NOINLINE void flush(struct tlb *tlb)
{
	tlb->valid = false;
	tlb->flush_later = false;
}

static NOINLINE void on_shootdown(void)
{
	struct tlb *tlb = own(struct tlb, this_cpu());

#ifdef FIXED
	flush(tlb);
#else
	tlb->flush_later = true;
#endif
	acknowledged = 1;
}

static NOINLINE uint64_t load(struct tlb *tlb)
{
	cli();
	if (!tlb->valid) {
		tlb->frame = entry;
		tlb->valid = true;
	}
	uint64_t value = frames[tlb->frame];
	sti();
	return value;
}

static NOINLINE void reader(void)
{
	struct tlb *tlb = own(struct tlb, this_cpu());

	for (unsigned turn = 1; turn <= 2; turn++) {
		if (tlb->flush_later)
			flush(tlb);
		sti();
		turns = turn;
		if (load(tlb) != CONTENT)
			violated("a page was read in a frame that it had left");
	}
	while (!acknowledged)
		pause();
	cli();
}

static NOINLINE void move_page(void)
{
	entry = NEW;
	send_ipi(0, SHOOTDOWN);
	while (!acknowledged)
		pause();
	frames[OLD] = REUSED;
}

int main(unsigned cpus)
{
	/* CPU 0 has used the page before. */
	*own(struct tlb, this_cpu()) = (struct tlb){ .valid = true, .frame = OLD };
	on_interrupt(SHOOTDOWN, on_shootdown);
	race(cpus, 2, reader, move_page);
	return EXIT_OK;
}
