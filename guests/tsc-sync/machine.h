/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * A re-enactment of illumos #1687, "Race in determine_platform / get_hwenv causes multi-CPU VM hang at boot", in our own words:
 * the same steps in the same order under the same names. The comments A1..A6 and B1..B9 number the steps of an AP and of CPU 0.
 *
 * The hang, if A4a < B5a < A4d: CPU 0 reads the AP's provisional HW_NATIVE and waits in tsc_sync_master() for an AP that took
 * the settled HW_VMWARE for an answer long ago and now waits in mp_startup_signal() for CPU 0.
 *
 * FIXED is upstream's repair: the platform is determined once, before there are APs.
 */
#ifndef MACHINE_H
#define MACHINE_H

#include "rt.h"

/* --- cpuid.c --------------------------------------------------------------------------------------------------------------- */

enum platform {
	HW_NATIVE = 0,
	HW_XEN_PV = 1,
	HW_XEN_HVM = 2,
	HW_VMWARE = 3,
};

struct cpu;

/* What kind of machine this is. */
int get_hwenv(void);
const char *platform_name(void);
void determine_platform(void);

/* The passes over CPUID, in the order in which a CPU runs them. */
void cpuid_pass1(struct cpu *cpu);
void cpuid_pass2(struct cpu *cpu);
void cpuid_pass3(struct cpu *cpu);

/* --- tsc_sync.c ------------------------------------------------------------------------------------------------------------ */

/* The two sides of measuring how far an AP's TSC is from CPU 0's. */
void tsc_sync_master(uint32_t slave);
void tsc_sync_slave(void);

/* --- mlsetup.c, desctbls.c ------------------------------------------------------------------------------------------------- */

#define GDT_ENTRIES 8

struct tss {
	uint32_t reserved;
	uint64_t rsp[3];
	uint64_t reserved1;
	uint64_t ist[7];
	uint64_t reserved2;
	uint16_t reserved3, iomap;
} __attribute__((packed));

/* A CPU, in its own page. Only that CPU writes it once it runs, but for `state`. */
struct cpu {
	uint32_t id;
	uint32_t state;
	uint32_t vendor[3];
	uint32_t signature;
	uint32_t features[4];
	uint32_t max_leaf, max_extended;
	uint64_t gdt[GDT_ENTRIES] __attribute__((aligned(16)));
	struct tss tss __attribute__((aligned(16)));
};

struct cpu *cpu_of(uint32_t id);

void mlsetup(void);
void ap_mlsetup(struct cpu *cpu);
void init_desctbls(struct cpu *cpu);

/* --- mach_cpu.c ------------------------------------------------------------------------------------------------------------ */

/* What an AP needs to take its first steps. */
struct cpu_context {
	struct cpu *cpu;
	uint32_t id;
	void (*entry)(void);
};

struct cpu_context *mach_cpucontext_alloc(struct cpu *cpu, void (*entry)(void));
void mach_cpucontext_free(struct cpu_context *context);
void mach_cpu_start(const struct cpu_context *context);

enum cpu_state {
	CPU_OFFLINE = 0,
	CPU_ONLINE = 1,
};

void cpu_set_state(struct cpu *cpu);

/* --- mp_startup.c ---------------------------------------------------------------------------------------------------------- */

/* One bit for each CPU. */
typedef volatile uint64_t cpuset_t;

void start_other_cpus(uint32_t cpus);
void start_cpu(uint32_t id);
void mp_start_cpu_common(struct cpu *cpu);
NORETURN void mp_startup_common(void);
void mp_startup_signal(cpuset_t *set, uint32_t id);
void mp_startup_wait(cpuset_t *set, uint32_t id);

#endif
