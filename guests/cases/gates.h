/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* A guest's own handlers of exceptions, in place of those of the runtime. */
#ifndef GATES_H
#define GATES_H

#include "rt.h"

struct gate {
	uint64_t low, high;
};

/* The gate of this vector. */
ALWAYS_INLINE struct gate *gate(unsigned vector)
{
	struct {
		uint16_t limit;
		uint64_t base;
	} __attribute__((packed)) idtr;
	__asm__ volatile("sidt %0" : "=m"(idtr));
	return (struct gate *)idtr.base + vector;
}

/* Sends the vector to this handler, which is in assembly. */
ALWAYS_INLINE void set_handler(unsigned vector, void (*handler)(void))
{
	uint64_t to = (uint64_t)handler;
	struct gate *own = gate(vector);
	own->high = to >> 32;
	own->low = (own->low & 0x0000ffffffff0000) | (to & 0xffff) | (to >> 16 & 0xffff) << 48;
}

#endif
