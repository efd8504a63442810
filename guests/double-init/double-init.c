/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * Double-checked initialisation of an object that all CPUs use. Its pointer is published before it is initialised, so who comes
 * in between doesn't ask for the lock, and reads what is not there yet.
 *
 * FIXED never fails: the pointer is stored after the value, so who sees the pointer sees the value; only the lock's owner stores.
 */
#include "race.h"
#include "spinlock.h"

#define VALUE 42

static SHARED volatile uint64_t lock;
static SHARED volatile uint64_t storage;

/* Null until the first use. */
static SHARED volatile uint64_t *volatile object;

static NOINLINE void initialise(void)
{
#ifdef FIXED
	storage = VALUE;
	object = &storage;
#else
	object = &storage;
	storage = VALUE;
#endif
}

static NOINLINE void use(void)
{
	if (!object) {
		spin_lock(&lock);
		if (!object)
			initialise();
		spin_unlock(&lock);
	}
	if (*object != VALUE)
		violated("an object was used before it was initialised");
}

int main(unsigned cpus)
{
	race(cpus, 2, use, use);
	return EXIT_OK;
}
