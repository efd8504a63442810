/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* The page tables of a case, which lie in the image: rights that a case gives or takes. */
#ifndef PAGES_H
#define PAGES_H

#include "rt.h"

#define PAGE_PRESENT 0x01ull
#define PAGE_WRITE   0x02ull
#define PAGE_USER    0x04ull
#define PAGE_LARGE   0x80ull
#define PAGE_FRAME   0xffffffffff000ull

#define TABLE_ENTRIES 512
#define TABLE_LEVELS  4

/* No page is there. */
#define UNMAPPED 0x7000000000ull

ALWAYS_INLINE uint64_t read_cr3(void)
{
	uint64_t value;
	__asm__ volatile("movq %%cr3, %0" : "=r"(value) : : "memory");
	return value;
}

ALWAYS_INLINE uint64_t *table_at(uint64_t entry)
{
	return (uint64_t *)((entry & PAGE_FRAME) - LOAD_ADDR + KERNEL_BASE);
}

/* The page with this address can be read only. */
static inline void write_protect(volatile void *page)
{
	uint64_t address = (uint64_t)page;
	uint64_t *entry;
	uint64_t above = read_cr3();
	unsigned level = TABLE_LEVELS;

	do {
		level--;
		entry = &table_at(above)[address >> (12 + 9 * level) & (TABLE_ENTRIES - 1)];
		above = *entry;
	} while (level && !(above & PAGE_LARGE));
	*entry &= ~PAGE_WRITE;
	__asm__ volatile("invlpg (%0)" : : "r"(address) : "memory");
}

/* Ring 3 may use all that `table` maps. */
static inline void give_to_user(uint64_t *table, unsigned level)
{
	for (unsigned i = 0; i < TABLE_ENTRIES; i++) {
		if (!(table[i] & PAGE_PRESENT))
			continue;
		table[i] |= PAGE_USER;
		if (level > 1 && !(table[i] & PAGE_LARGE))
			give_to_user(table_at(table[i]), level - 1);
	}
}

#endif
