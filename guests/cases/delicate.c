// Instructions at which a single step in place of a breakpoint would show: PUSHF, STI with HLT
// behind it, and one that faults and is skipped by the handler of its fault.

#include "rt.h"

#define ROUNDS 10
#define VECTOR 0x30
#define UD 6
#define TRAP_FLAG 0x100

extern char on_ud[];
static volatile uint64_t faults, traps, wakes;

// Counts, and returns behind the UD2. The flags that were saved must not have the trap flag.
__asm__(".text\n"
	".type on_ud, @function\n"
	"on_ud: incq faults\n"
	"	testl $0x100, 16(%rsp)\n"
	"	jz 1f\n"
	"	incq traps\n"
	"1:	addq $2, (%rsp)\n"
	"	iretq\n"
	".size on_ud, . - on_ud\n");

static void set_gate(int vector, char *handler)
{
	struct __attribute__((packed)) {
		uint16_t limit;
		uint64_t base;
	} idt;
	__asm__ volatile("sidt %0" : "=m"(idt));
	uint16_t *gate = (uint16_t *)(idt.base + 16 * vector);
	uint64_t at = (uint64_t)handler;
	gate[0] = at;
	gate[3] = at >> 16;
	((uint32_t *)gate)[2] = at >> 32;
}

NOINLINE static void skip(void)
{
	__asm__ volatile("nop\n.globl at_ud2\nat_ud2: ud2" ::: "memory");
}

NOINLINE static void look_at_flags(void)
{
	uint64_t flags;
	__asm__ volatile(".globl at_pushf\nat_pushf: pushfq\n popq %0" : "=r"(flags)::"memory");
	if (flags & TRAP_FLAG)
		traps++;
}

// The interrupt is pending: it has to come behind the HLT, not between STI and HLT.
NOINLINE static void sleep_once(void)
{
	send_ipi(0, VECTOR);
	__asm__ volatile("sti\n.globl at_hlt\nat_hlt: hlt\n cli" ::: "memory");
}

static void wake(void)
{
	wakes++;
}

int main(unsigned cpus)
{
	(void)cpus;
	lapic_enable();
	on_interrupt(VECTOR, wake);
	set_gate(UD, on_ud);
	for (int i = 0; i < ROUNDS; i++) {
		skip();
		look_at_flags();
		sleep_once();
	}
	printf("skipped %lu, woken %lu, traced %lu\n", faults, wakes, traps);
	return EXIT_OK;
}
