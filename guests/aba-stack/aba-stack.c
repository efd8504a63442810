/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * A stack as a linked list, popped by compare-and-swap of its head. CPU 0 reads the head A and its successor B. Then CPU 1 pops
 * A, CPU 2 pops B, and CPU 1 pushes A back: the head is A again, CPU 0's swap succeeds and makes B the head, which CPU 2 owns.
 *
 * FIXED never fails: the head has a count of its changes beside it, so a swap succeeds only if nothing happened since the read,
 * and nobody changes the successor of a node in the stack.
 */
#include "race.h"

#define CPUS  3
#define NODES 3

#define NODE(head) ((head) & 0xff)
#ifdef FIXED
#define CHANGED(head) (((head) & ~0xffull) + 0x100)
#else
#define CHANGED(head) 0
#endif

/* Nodes are numbers from 1; 0 is the end. */
static SHARED volatile uint64_t head = 1;
static SHARED volatile uint64_t successor[NODES + 1] = { 0, 2, 3, 0 };

/* What each CPU popped and kept. */
static SHARED volatile uint64_t kept[CPUS];

/* There are as many nodes as CPUs, so there is one for each. */
static NOINLINE uint64_t pop(void)
{
	uint64_t top, below;

	do {
		top = head;
		below = successor[NODE(top)];
	} while (!atomic_replace(&head, top, CHANGED(top) | below));
	return NODE(top);
}

static NOINLINE void push(uint64_t node)
{
	uint64_t top;

	do {
		top = head;
		successor[node] = NODE(top);
	} while (!atomic_replace(&head, top, CHANGED(top) | node));
}

static NOINLINE void participant(void)
{
	uint64_t node = pop();

	if (this_cpu()->id == 1)
		push(node);
	else
		kept[this_cpu()->id] = node;
}

int main(unsigned cpus)
{
	race(cpus, CPUS, participant, participant);
	/* One node is left, the one that nobody kept: together they are all three. */
	uint64_t left = NODE(head);
	if (successor[left] || (1ull << left | 1ull << kept[0] | 1ull << kept[2]) != 0xe)
		violated("a node has an owner and is in the stack");
	return EXIT_OK;
}
