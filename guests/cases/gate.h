/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * Handlers of a case's own, for exceptions that it survives and for what wants to see the frame of the interrupted code. The
 * runtime has neither: so the gate in the IDT gets another address.
 */
#ifndef GATE_H
#define GATE_H

#include "rt.h"

#define DE 0
#define NMI 2
#define UD 6
#define PF 14

#define RFLAGS_TF 0x100
#define RFLAGS_IF 0x200

/* What the processor pushes for an interrupt or an exception, but for the error code. */
struct frame {
	uint64_t rip, cs, rflags, rsp, ss;
};

struct __attribute__((packed)) descriptor_table {
	uint16_t limit;
	uint64_t base;
};

/* The gate of a vector: in its words are the address (0, 3, and 4 with 5), the selector (1), and the IST and type (2). */
ALWAYS_INLINE uint16_t *gate_of(unsigned vector)
{
	struct descriptor_table idt;

	__asm__ volatile("sidt %0" : "=m"(idt) : : "memory");
	return (uint16_t *)idt.base + 8 * vector;
}

/* For all CPUs: they have one IDT. */
ALWAYS_INLINE void set_gate(unsigned vector, void (*entry)(void))
{
	uint16_t *gate = gate_of(vector);
	uint64_t address = (uint64_t)entry;

	gate[0] = (uint16_t)address;
	gate[3] = (uint16_t)(address >> 16);
	gate[4] = (uint16_t)(address >> 32);
	gate[5] = (uint16_t)(address >> 48);
}

/*
 * `entry`, for set_gate, calls `handler` with the frame and returns to where that says then. The saved RBP lies beside the
 * interrupted RIP, so that a stack walk goes on through the handler.
 */
#define HANDLER(entry, handler) HANDLER_BEHIND("", entry, handler)

/* The same for an exception that has an error code. */
#define HANDLER_WITH_CODE(entry, handler) HANDLER_BEHIND("addq $8, %%rsp\n\t", entry, handler)

#define HANDLER_BEHIND(first, entry, handler)              \
	static __attribute__((naked)) void entry(void)     \
	{                                                  \
		__asm__ volatile(first                     \
				 "pushq %%rbp\n\t"         \
				 "movq %%rsp, %%rbp\n\t"   \
				 "pushq %%rax\n\t"         \
				 "pushq %%rcx\n\t"         \
				 "pushq %%rdx\n\t"         \
				 "pushq %%rsi\n\t"         \
				 "pushq %%rdi\n\t"         \
				 "pushq %%r8\n\t"          \
				 "pushq %%r9\n\t"          \
				 "pushq %%r10\n\t"         \
				 "pushq %%r11\n\t"         \
				 "leaq 8(%%rbp), %%rdi\n\t" \
				 "call %P0\n\t"            \
				 "popq %%r11\n\t"          \
				 "popq %%r10\n\t"          \
				 "popq %%r9\n\t"           \
				 "popq %%r8\n\t"           \
				 "popq %%rdi\n\t"          \
				 "popq %%rsi\n\t"          \
				 "popq %%rdx\n\t"          \
				 "popq %%rcx\n\t"          \
				 "popq %%rax\n\t"          \
				 "popq %%rbp\n\t"          \
				 "iretq"                   \
				 :                         \
				 : "i"(handler)            \
				 : "memory");              \
	}

#endif
