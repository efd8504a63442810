/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * It waits until something has disturbed it three times: an NMI, #GP, #PF, #MC, or an interrupt with the one vector that has a
 * handler. CPU 0 is awake meanwhile, the other CPUs sleep. Any other interrupt or exception is unexpected.
 */
#include "gates.h"

#define EXPECTED (IRQ_BASE + 1)
#define ENOUGH 3

SHARED volatile uint64_t disturbed;
static SHARED volatile uint64_t ready;

void with_code(void);
void without_code(void);

__asm__(".text\n"
	".type with_code, @function\n"
	"with_code: addq $8, %rsp\n" /* the error code */
	".type without_code, @function\n"
	"without_code: lock incq disturbed\n"
	"iretq\n");

static NOINLINE void on_event(void)
{
	atomic_add(&disturbed, 1);
}

static NORETURN void sleeper(void)
{
	lapic_enable();
	atomic_add(&ready, 1);
	idle();
}

int main(unsigned cpus)
{
	on_nmi(on_event);
	on_interrupt(EXPECTED, on_event);
	set_handler(13, with_code);
	set_handler(14, with_code);
	set_handler(18, without_code);
	lapic_enable();
	for (unsigned id = 1; id < cpus; id++)
		start_ap(id, sleeper);
	while (ready != cpus - 1)
		pause();
	mark();
	sti();
	while (disturbed < ENOUGH)
		pause();
	cli();
	printf("cr2 0x%lx\n", read_cr2());
	return EXIT_OK;
}
