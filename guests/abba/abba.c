/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * Two accounts with a lock each. One CPU moves money from A to B and locks A, then B; the other moves it back and locks B, then
 * A. If each has its first lock, both wait for ever.
 *
 * FIXED never fails: both lock A first, so who has B has A as well and waits for nobody.
 */
#include "race.h"
#include "spinlock.h"

static SHARED volatile uint64_t lock_a, lock_b;
static SHARED volatile uint64_t money_a = 100, money_b = 100;

static NOINLINE void move_to_b(void)
{
	spin_lock(&lock_a);
	spin_lock(&lock_b);
	money_a = money_a - 10;
	money_b = money_b + 10;
	spin_unlock(&lock_b);
	spin_unlock(&lock_a);
}

static NOINLINE void move_to_a(void)
{
#ifdef FIXED
	spin_lock(&lock_a);
	spin_lock(&lock_b);
#else
	spin_lock(&lock_b);
	spin_lock(&lock_a);
#endif
	money_b = money_b - 10;
	money_a = money_a + 10;
	spin_unlock(&lock_a);
	spin_unlock(&lock_b);
}

int main(unsigned cpus)
{
	race(cpus, 2, move_to_b, move_to_a);
	return EXIT_OK;
}
