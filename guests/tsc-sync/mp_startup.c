/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Starting the other CPUs: one at a time, each in two rendezvous with CPU 0. */
#include "machine.h"

SHARED cpuset_t procset_slave;
SHARED cpuset_t procset_master;
SHARED cpuset_t cpu_ready_set;

/* What a loaded module may want to do for each new CPU. None is loaded. */
void (*cpu_init_hook)(uint32_t id);

ALWAYS_INLINE bool in_set(cpuset_t *set, uint32_t id)
{
	return *set & 1ull << id;
}

/* Adds `id` to the set and waits until somebody has taken it out again: a signal returns once it was consumed. */
NOINLINE void mp_startup_signal(cpuset_t *set, uint32_t id)
{
	atomic_set_bit(set, id);
	while (in_set(set, id))
		pause();
}

/* Waits until `id` is in the set, and takes it out. */
NOINLINE void mp_startup_wait(cpuset_t *set, uint32_t id)
{
	while (!in_set(set, id))
		pause();
	atomic_clear_bit(set, id);
}

NOINLINE void mp_start_cpu_common(struct cpu *cpu)
{
	const uint32_t id = cpu->id;
	struct cpu_context *context = mach_cpucontext_alloc(cpu, mp_startup_common); /* B1 */

	mach_cpu_start(context);
	while (!in_set(&procset_slave, id)) /* B2 */
		pause();
	atomic_clear_bit(&procset_slave, id); /* B3: releases the AP */
	mach_cpucontext_free(context);        /* B4 */
	tsc_sync_master(id);                  /* B5 */
	if (cpu_init_hook)                    /* B6 */
		cpu_init_hook(id);
	mp_startup_wait(&procset_slave, id); /* B7: the AP has probed CPUID */
	cpu_set_state(cpu);                  /* B8 */
	mp_startup_signal(&procset_master, id); /* B9 */
}

NOINLINE void start_cpu(uint32_t id)
{
	struct cpu *cpu = cpu_of(id);

	cpu->id = id;
	mp_start_cpu_common(cpu);
	while (!in_set(&cpu_ready_set, id))
		pause();
}

NOINLINE void start_other_cpus(uint32_t cpus)
{
	for (uint32_t id = 1; id < cpus; id++)
		start_cpu(id);
}

/* An AP's whole life. */
NOINLINE void mp_startup_common(void)
{
	const uint32_t id = this_cpu()->id;
	struct cpu *cpu = cpu_of(id);

	mp_startup_signal(&procset_slave, id); /* A1: until B3 */
	tsc_sync_slave();                      /* A2 */
	ap_mlsetup(cpu);                       /* A3 */
	cpuid_pass1(cpu);                      /* A4 */
	cpuid_pass2(cpu);                      /* A5 */
	cpuid_pass3(cpu);
	mp_startup_signal(&procset_slave, id); /* A6: until B7 */
	mp_startup_wait(&procset_master, id);
	atomic_set_bit(&cpu_ready_set, id);
	idle();
}
