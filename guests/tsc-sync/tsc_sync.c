/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * How far is an AP's TSC from CPU 0's? On native hardware the two meet SYNC_ITERATIONS times and read their TSCs at the same
 * moment. Under a hypervisor that keeps the TSCs together neither side does anything: both must agree on which it is.
 *
 * One meeting: the slave says GO, the master takes its TSC, the slave sees that and takes its own, says DONE and waits for the
 * master's STOP.
 */
#include "machine.h"

#define SYNC_ITERATIONS 10

enum tsc_sync_step {
	TSC_SYNC_STOP = 1,
	TSC_SYNC_GO = 2,
	TSC_SYNC_DONE = 3,
};

SHARED volatile int tsc_sync_go = TSC_SYNC_STOP;
SHARED volatile uint64_t tsc_master_tick;
SHARED volatile uint64_t tsc_slave_tick;

/* Never written, so nobody races for it. */
int tsc_master_slave_sync_needed = 1;

/* The smallest difference seen for each CPU: what a kernel would subtract. Only CPU 0 uses it. */
int64_t tsc_sync_delta[MAX_CPUS];

static bool tsc_is_kept_by_hypervisor(void)
{
	int platform = get_hwenv();

	return platform == HW_XEN_HVM || platform == HW_VMWARE;
}

static uint64_t magnitude(int64_t value)
{
	return value < 0 ? -(uint64_t)value : (uint64_t)value;
}

NOINLINE void tsc_sync_master(uint32_t slave)
{
	if (!tsc_master_slave_sync_needed)
		return;
	if (tsc_is_kept_by_hypervisor()) /* B5a */
		return;

	int64_t best = INT64_MAX;
	for (int i = 0; i < SYNC_ITERATIONS; i++) {
		while (tsc_sync_go != TSC_SYNC_GO)
			pause();
		uint64_t mine = rdtsc() | 1; /* never 0, which means "not yet" */
		tsc_master_tick = mine;
		while (tsc_sync_go != TSC_SYNC_DONE)
			pause();
		int64_t delta = (int64_t)(tsc_slave_tick - mine);
		if (magnitude(delta) < magnitude(best))
			best = delta;
		tsc_master_tick = 0;
		tsc_sync_go = TSC_SYNC_STOP;
	}
	tsc_sync_delta[slave] = best;
}

NOINLINE void tsc_sync_slave(void)
{
	if (!tsc_master_slave_sync_needed)
		return;
	if (tsc_is_kept_by_hypervisor())
		return;

	for (int i = 0; i < SYNC_ITERATIONS; i++) {
		tsc_sync_go = TSC_SYNC_GO;
		while (!tsc_master_tick)
			pause();
		tsc_slave_tick = rdtsc();
		tsc_sync_go = TSC_SYNC_DONE;
		while (tsc_sync_go != TSC_SYNC_STOP)
			pause();
	}
}
