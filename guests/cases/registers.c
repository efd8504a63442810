/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * It reads a model-specific register twice: first with care, so that it goes on if the processor has none, and then without.
 * What it reads has to make sense.
 */
#include "gates.h"

#define APIC_BASE 0x1b
#define ADDRESS 0xfee00000
#define ADDRESS_BITS 0xfffffffff000
#define GP 13

void skip_read(void);

static volatile uint64_t refused;

/* #GP: behind the RDMSR, which has two bytes. */
__asm__(".text\n"
	".type skip_read, @function\n"
	"skip_read: addq $8, %rsp\n"
	"addq $2, (%rsp)\n"
	"movl $1, %eax\n"
	"movl $-1, %edx\n"
	"iretq\n");

static NOINLINE void check(uint64_t value)
{
	if ((value & ADDRESS_BITS) != ADDRESS)
		violated("the local APIC is somewhere else");
}

int main(unsigned cpus)
{
	struct gate before = *gate(GP);
	uint64_t value;

	(void)cpus;
	set_handler(GP, skip_read);
	value = rdmsr(APIC_BASE);
	*gate(GP) = before;
	if (value == 0xffffffff00000001)
		printf("no such register\n");
	else
		check(value);
	check(rdmsr(APIC_BASE));
	return EXIT_OK;
}
