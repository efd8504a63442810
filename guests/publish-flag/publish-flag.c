/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * A result and a flag that says that it is there. The flag is set one instruction too early.
 *
 * FIXED never fails: the result is stored before the flag, and is read after it.
 */
#include "race.h"

#define RESULT 42

static SHARED volatile uint64_t ready, result;

static NOINLINE void publish(void)
{
#ifdef FIXED
	result = RESULT;
	ready = 1;
#else
	ready = 1;
	result = RESULT;
#endif
}

static NOINLINE void take(void)
{
	while (!ready)
		pause();
	if (result != RESULT)
		violated("the result was taken before it was there");
}

int main(unsigned cpus)
{
	race(cpus, 2, publish, take);
	return EXIT_OK;
}
