/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * Exceptions while an interrupt is pending and interrupts are off, so that jitterbug looks for the place where it may come.
 * The trap flag with which it does so must not be in the flags that an exception saves.
 */
#include "gate.h"
#include "pages.h"

#define VECTOR 40

static SHARED volatile uint64_t n;

static void tick(void)
{
	n = n + 1;
}

/* Each instruction that faults here has two bytes. */
static NOINLINE void skip(struct frame *frame)
{
	if (frame->rflags & RFLAGS_TF)
		violated("the trap flag is in the frame of an exception");
	frame->rip += 2;
}

HANDLER(on_fault, skip)
HANDLER_WITH_CODE(on_pf, skip)

static void take(uint64_t number)
{
	sti();
	__asm__ volatile("nop\n\tnop\n\tnop");
	while (n != number)
		pause();
	cli();
}

int main(unsigned cpus)
{
	(void)cpus;
	on_interrupt(VECTOR, tick);
	set_gate(DE, on_fault);
	set_gate(UD, on_fault);
	set_gate(PF, on_pf);
	lapic_enable();
	cli();
	mark();
	send_ipi(0, VECTOR);
	__asm__ volatile("divl %0" : : "r"(0) : "rax", "rdx", "cc", "memory");
	take(1);
	send_ipi(0, VECTOR);
	__asm__ volatile("ud2" : : : "memory");
	take(2);
	send_ipi(0, VECTOR);
	__asm__ volatile("movl (%0), %%ecx" : : "a"(UNMAPPED) : "rcx", "memory");
	take(3);
	return EXIT_OK;
}
