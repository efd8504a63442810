#include "rt.h"
/* CPU 1 polls with interrupts disabled, and enables them for a moment in each turn. CPU 0
 * sends it an IPI whose handler ends the wait: every order ends well. */
#define VEC 40
static SHARED volatile uint64_t ready, arrived, done;
static NOINLINE void handler(void) { arrived = 1; }
static NORETURN void ap(void)
{
	lapic_enable();
	cli();
	ready = 1;
	while (!arrived)
		__asm__ volatile("sti; nop; nop; nop; cli" : : : "memory");
	done = 1;
	halt();
}
int main(unsigned cpus)
{
	(void)cpus;
	lapic_enable();
	on_interrupt(VEC, handler);
	start_ap(1, ap);
	while (!ready) pause();
	mark();
	send_ipi(1, VEC);
	while (!done) pause();
	return EXIT_OK;
}
