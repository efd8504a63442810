#include "rt.h"
/* CPU 1 loops for ever and enables interrupts for a moment in each turn; the loop's lowest address is where they are disabled. CPU 0 sends
 * it an IPI and waits for its handler: every order ends well. */
#define VEC 40
static SHARED volatile uint64_t ready, done;
static NOINLINE void handler(void) { done = 1; }
static NORETURN void ap(void)
{
	lapic_enable();
	ready = 1;
	__asm__ volatile("cli; 1: nop; nop; sti; nop; nop; nop; cli; jmp 1b" : : : "memory");
	__builtin_unreachable();
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
