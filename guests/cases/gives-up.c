#include "race.h"
/* Waits that give up after more turns than anybody wants to make choices for: one that only reads, one that takes a lock. */
static SHARED volatile uint64_t never, lock = 1;
static SHARED volatile uint64_t gave_up;
#define TURNS 50000
static NOINLINE void reader(void)
{
	unsigned turns = 0;
	while (!never && ++turns < TURNS)
		pause();
	atomic_add(&gave_up, 1);
}
static NOINLINE void taker(void)
{
	unsigned turns = 0;
	uint64_t taken = 1;
	while (taken && ++turns < TURNS)
		__asm__ volatile("xchgq %0,%1" : "+r"(taken), "+m"(lock) : : "memory");
	atomic_add(&gave_up, 1);
}
int main(unsigned cpus) { race(cpus, 2, reader, taker); return gave_up == 2 ? EXIT_OK : EXIT_FAILED; }
