/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * The processor's instructions that C has no words for. Each is a statement that memory accesses don't move across ("memory"):
 * a guest's races are decided by the order that its source says.
 */
#ifndef CPU_H
#define CPU_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ALWAYS_INLINE static inline __attribute__((always_inline))

ALWAYS_INLINE void outb(uint16_t port, uint8_t value)
{
	__asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port) : "memory");
}

ALWAYS_INLINE void outl(uint16_t port, uint32_t value)
{
	__asm__ volatile("outl %0, %1" : : "a"(value), "Nd"(port) : "memory");
}

ALWAYS_INLINE uint8_t inb(uint16_t port)
{
	uint8_t value;
	__asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port) : "memory");
	return value;
}

struct cpuid {
	uint32_t eax, ebx, ecx, edx;
};

ALWAYS_INLINE struct cpuid cpuid(uint32_t leaf)
{
	struct cpuid r;
	__asm__ volatile("cpuid" : "=a"(r.eax), "=b"(r.ebx), "=c"(r.ecx), "=d"(r.edx) : "a"(leaf), "c"(0) : "memory");
	return r;
}

ALWAYS_INLINE uint64_t rdmsr(uint32_t msr)
{
	uint32_t low, high;
	__asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(msr) : "memory");
	return (uint64_t)high << 32 | low;
}

ALWAYS_INLINE void wrmsr(uint32_t msr, uint64_t value)
{
	__asm__ volatile("wrmsr" : : "c"(msr), "a"((uint32_t)value), "d"((uint32_t)(value >> 32)) : "memory");
}

ALWAYS_INLINE uint64_t rdtsc(void)
{
	uint32_t low, high;
	__asm__ volatile("rdtsc" : "=a"(low), "=d"(high) : : "memory");
	return (uint64_t)high << 32 | low;
}

ALWAYS_INLINE uint64_t read_cr2(void)
{
	uint64_t value;
	__asm__ volatile("movq %%cr2, %0" : "=r"(value) : : "memory");
	return value;
}

ALWAYS_INLINE void pause(void)
{
	__asm__ volatile("pause" : : : "memory");
}

ALWAYS_INLINE void cli(void)
{
	__asm__ volatile("cli" : : : "memory");
}

ALWAYS_INLINE void sti(void)
{
	__asm__ volatile("sti" : : : "memory");
}

/* Wait for an interrupt. STI takes effect after the next instruction, so none can slip in between the two. */
ALWAYS_INLINE void sti_hlt(void)
{
	__asm__ volatile("sti; hlt" : : : "memory");
}

/* Wait for an interrupt that may have come already. */
ALWAYS_INLINE void hlt(void)
{
	__asm__ volatile("hlt" : : : "memory");
}

/* Locked read-modify-writes: one scheduling point each. */
ALWAYS_INLINE void atomic_set_bit(volatile uint64_t *set, uint64_t bit)
{
	__asm__ volatile("lock btsq %1, %0" : "+m"(*set) : "r"(bit) : "cc", "memory");
}

ALWAYS_INLINE void atomic_clear_bit(volatile uint64_t *set, uint64_t bit)
{
	__asm__ volatile("lock btrq %1, %0" : "+m"(*set) : "r"(bit) : "cc", "memory");
}

/* Adds, and says what was there before. */
ALWAYS_INLINE uint64_t atomic_add(volatile uint64_t *cell, uint64_t n)
{
	__asm__ volatile("lock xaddq %0, %1" : "+r"(n), "+m"(*cell) : : "cc", "memory");
	return n;
}

/* Puts `value` there, and says what was there before. */
ALWAYS_INLINE uint64_t atomic_swap(volatile uint64_t *cell, uint64_t value)
{
	__asm__ volatile("xchgq %0, %1" : "+r"(value), "+m"(*cell) : : "memory");
	return value;
}

/* Replaces `old` by `new`; false, and nothing changed, if something else was there. */
ALWAYS_INLINE bool atomic_replace(volatile uint64_t *cell, uint64_t old, uint64_t new)
{
	uint64_t seen = old;
	__asm__ volatile("lock cmpxchgq %2, %1" : "+a"(seen), "+m"(*cell) : "r"(new) : "cc", "memory");
	return seen == old;
}

#endif
