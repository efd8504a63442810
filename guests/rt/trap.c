/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Exceptions end the run with a report; interrupts go to the guest's handlers. */
#include "rt.h"

/* As vectors.S lays it out on the stack. */
struct trapframe {
	uint64_t r15, r14, r13, r12, r11, r10, r9, r8, rdi, rsi, rbp, rbx, rdx, rcx, rax;
	uint64_t vector, error;
	uint64_t rip, cs, rflags, rsp, ss;
};

#define NMI 2

static void (*handlers[VECTORS - IRQ_BASE])(void);
static void (*nmi_handler)(void);

void trap(const struct trapframe *frame);

void on_interrupt(uint32_t vector, void (*handler)(void))
{
	handlers[vector - IRQ_BASE] = handler;
}

void on_nmi(void (*handler)(void))
{
	nmi_handler = handler;
}

void trap(const struct trapframe *frame)
{
	if (frame->vector == NMI && nmi_handler) {
		nmi_handler();
		return;
	}
	if (frame->vector >= IRQ_BASE && handlers[frame->vector - IRQ_BASE]) {
		handlers[frame->vector - IRQ_BASE]();
		lapic_eoi();
		return;
	}
	printf("unexpected %s: vector %lu, error code 0x%lx, rip 0x%lx, cr2 0x%lx, cpu %u\n",
	       frame->vector < IRQ_BASE ? "exception" : "interrupt", frame->vector, frame->error, frame->rip, read_cr2(),
	       this_cpu()->id);
	exit(EXIT_EXCEPTION);
}
