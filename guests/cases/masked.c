#include "race.h"
/*
 * CR8 keeps an interrupt away from two stores that its handler must not see apart. Each run finds CR8 and a memory type
 * register as they are at a boot, whatever the run before it has left there. Correct.
 */
#define VECTOR 50
#define MTRR_PHYSBASE0 0x200
static SHARED volatile uint64_t first, second, torn, handled;
static uint64_t cr8(void)
{
	uint64_t value;
	__asm__ volatile("mov %%cr8,%0" : "=r"(value));
	return value;
}
static void set_cr8(uint64_t value) { __asm__ volatile("mov %0,%%cr8" : : "r"(value) : "memory"); }
static void handler(void)
{
	torn |= first != second;
	handled = 1;
}
static NOINLINE void update(void)
{
	if (cr8() || rdmsr(MTRR_PHYSBASE0))
		violated("something was left behind");
	wrmsr(MTRR_PHYSBASE0, 6);
	set_cr8(15);
	sti();
	first++;
	second++;
	cli();
	set_cr8(VECTOR / 16 - 1);
	for (;;) {
		cli();
		if (handled)
			return;
		sti_hlt();
	}
}
static NOINLINE void ask(void) { send_ipi(0, VECTOR); }
int main(unsigned cpus)
{
	on_interrupt(VECTOR, handler);
	race(cpus, 2, update, ask);
	return torn ? EXIT_FAILED : EXIT_OK;
}
