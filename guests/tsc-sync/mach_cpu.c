/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* How this kind of machine starts a CPU. */
#include "machine.h"

/* One of them for each CPU, and which of them are taken. Only CPU 0 starts CPUs. */
static struct cpu_context contexts[MAX_CPUS];
static uint64_t contexts_taken;

NOINLINE struct cpu_context *mach_cpucontext_alloc(struct cpu *cpu, void (*entry)(void))
{
	struct cpu_context *context = &contexts[cpu->id];

	contexts_taken |= 1ull << cpu->id;
	context->cpu = cpu;
	context->id = cpu->id;
	context->entry = entry;
	return context;
}

/* What is left in a freed context must not start a CPU by mistake. */
NOINLINE void mach_cpucontext_free(struct cpu_context *context)
{
	uint64_t bit = 1ull << context->id;

	ASSERT(context == &contexts[context->id]);
	ASSERT(contexts_taken & bit);
	context->cpu = NULL;
	context->id = 0;
	context->entry = NULL;
	contexts_taken &= ~bit;
}

/* INIT, SIPI. */
NOINLINE void mach_cpu_start(const struct cpu_context *context)
{
	start_ap(context->id, context->entry);
}

NOINLINE void cpu_set_state(struct cpu *cpu)
{
	cpu->state = CPU_ONLINE;
}
