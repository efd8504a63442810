#include "race.h"
/* Four CPUs, each with the lock of its number and then the next one's. BUG: when each has its own, none gets its second. */
static SHARED volatile uint64_t locks[4];
static void lock(unsigned number)
{
	while (atomic_swap(&locks[number % 4], 1))
		pause();
}
static NOINLINE void take_two(void)
{
	unsigned own = this_cpu()->id;
	lock(own);
	lock(own + 1);
	locks[(own + 1) % 4] = 0;
	locks[own] = 0;
}
int main(unsigned cpus)
{
	race(cpus, 4, take_two, take_two);
	return EXIT_OK;
}
