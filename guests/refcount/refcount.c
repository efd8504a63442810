/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * An object with a reference count, and a table in which it is found. CPU 0 looks it up and takes a reference; in between, the
 * other CPU takes it out of the table and puts the last reference. CPU 0 then has a reference to what was freed, and reads
 * poison.
 *
 * FIXED never fails: a reference is taken only where there is another, in one locked instruction, so none is taken after the
 * last was put, and none was put last while CPU 0 has one.
 */
#include "race.h"

#define CONTENT 42
#define POISON  0x6b6b6b6b

struct object {
	volatile uint64_t references;
	volatile uint64_t content;
};

static SHARED struct object object = { 1, CONTENT };

/* Holds the first reference. */
static SHARED struct object *volatile table = &object;

static NOINLINE bool get(struct object *o)
{
#ifdef FIXED
	uint64_t seen;
	do {
		seen = o->references;
		if (!seen)
			return false;
	} while (!atomic_replace(&o->references, seen, seen + 1));
#else
	atomic_add(&o->references, 1);
#endif
	return true;
}

static NOINLINE void put(struct object *o)
{
	if (atomic_add(&o->references, (uint64_t)-1) == 1)
		o->content = POISON; /* freed */
}

static NOINLINE void look_up(void)
{
	struct object *o = table;

	if (!o || !get(o))
		return;
	if (o->content == POISON)
		violated("an object was used after its last reference was put");
	put(o);
}

static NOINLINE void take_out(void)
{
	struct object *o = table;

	table = NULL;
	put(o);
}

int main(unsigned cpus)
{
	race(cpus, 2, look_up, take_out);
	return EXIT_OK;
}
