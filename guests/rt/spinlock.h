/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* A lock. Who waits only reads: a hang repeats itself exactly. Inlined, so that an access is its caller's. */
#ifndef SPINLOCK_H
#define SPINLOCK_H

#include "cpu.h"

ALWAYS_INLINE void spin_lock(volatile uint64_t *lock)
{
	do {
		while (*lock)
			pause();
	} while (atomic_swap(lock, 1));
}

ALWAYS_INLINE void spin_unlock(volatile uint64_t *lock)
{
	*lock = 0;
}

#endif
