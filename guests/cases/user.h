/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* A way into ring 3, for one CPU: it has the kernel's pages, a stack of its own, and a stack in ring 0 for its interrupts. */
#ifndef USER_H
#define USER_H

#include "gate.h"
#include "pages.h"

#define USER_CS 0x1b
#define USER_DS 0x23
#define TSS     0x28

#define RFLAGS_FIXED 0x002

#define STACK_SIZE 0x1000
/* Room for who looks above the first frame. */
#define STACK_TOP (STACK_SIZE - 64)

static uint32_t user_tss[26];
static uint64_t user_gdt[] = {
	0,
	0x00af9b000000ffff, /* KERNEL_CS */
	0x00cf93000000ffff, /* KERNEL_DS */
	0x00affb000000ffff, /* USER_CS */
	0x00cff3000000ffff, /* USER_DS */
	0, 0,               /* TSS */
};
static uint8_t user_stack[STACK_SIZE] __attribute__((aligned(16)));
static uint8_t user_kernel_stack[STACK_SIZE] __attribute__((aligned(16)));

static void user_setup(void)
{
	struct descriptor_table gdtr = { sizeof user_gdt - 1, (uint64_t)user_gdt };
	uint64_t tss = (uint64_t)user_tss, stack = (uint64_t)user_kernel_stack + STACK_TOP;
	uint64_t cr3 = read_cr3();

	give_to_user(table_at(cr3), TABLE_LEVELS);
	__asm__ volatile("movq %0, %%cr3" : : "r"(cr3) : "memory");
	user_tss[1] = (uint32_t)stack; /* RSP0 */
	user_tss[2] = (uint32_t)(stack >> 32);
	user_tss[25] = sizeof user_tss << 16; /* no map of the ports */
	user_gdt[5] = (sizeof user_tss - 1) | (tss & 0xffffff) << 16 | 0x89ull << 40 | (tss >> 24 & 0xff) << 56;
	user_gdt[6] = tss >> 32;
	__asm__ volatile("lgdt %0\n\tltr %w1" : : "m"(gdtr), "r"(TSS) : "memory");
}

/* Goes on in `user`, in ring 3 and with interrupts on. `user` must not return. */
NORETURN static void to_user(void (*user)(void))
{
	__asm__ volatile("pushq %0\n\t"
			 "pushq %1\n\t"
			 "pushq %2\n\t"
			 "pushq %3\n\t"
			 "pushq %4\n\t"
			 "iretq"
			 :
			 : "i"(USER_DS), "r"((uint64_t)user_stack + STACK_TOP - 8), "i"(RFLAGS_IF | RFLAGS_FIXED), "i"(USER_CS),
			   "r"(user)
			 : "memory");
	__builtin_unreachable();
}

#endif
