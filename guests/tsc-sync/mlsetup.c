/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Machine-level set-up of a CPU: all that is its own. */
#include "machine.h"

#define MSR_SYSENTER_CS    0x174
#define MSR_SYSENTER_ESP   0x175
#define MSR_SYSENTER_EIP   0x176
#define MSR_PAT            0x277
#define MSR_STAR           0xc0000081
#define MSR_LSTAR          0xc0000082
#define MSR_SFMASK         0xc0000084
#define MSR_KERNEL_GS_BASE 0xc0000102

/* The memory types of the page attribute table, in the order that the reset leaves them. */
enum memory_type {
	UNCACHEABLE = 0,
	WRITE_THROUGH = 4,
	WRITE_BACK = 6,
	UNCACHED = 7,
};
static const uint8_t pat[8] = {
	WRITE_BACK, WRITE_THROUGH, UNCACHED, UNCACHEABLE, WRITE_BACK, WRITE_THROUGH, UNCACHED, UNCACHEABLE,
};

/* There is no user mode here: a system call is a mistake, and the stub of vector 6 (invalid opcode) says so. */
extern const char vectors[];
#define NO_SYSCALL ((uint64_t)(vectors + 6 * STUB_SIZE))

struct cpu *cpu_of(uint32_t id)
{
	return own(struct cpu, &percpu_pages[id]);
}

static uint64_t pat_value(void)
{
	uint64_t value = 0;

	for (unsigned i = 0; i < 8; i++)
		value |= (uint64_t)pat[i] << 8 * i;
	return value;
}

static NOINLINE void init_msrs(struct cpu *cpu)
{
	wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_SCE);
	wrmsr(MSR_PAT, pat_value());
	wrmsr(MSR_STAR, (uint64_t)KERNEL_CS << 32);
	wrmsr(MSR_LSTAR, NO_SYSCALL);
	wrmsr(MSR_SFMASK, 0x200); /* interrupts off */
	wrmsr(MSR_SYSENTER_CS, KERNEL_CS);
	wrmsr(MSR_SYSENTER_ESP, cpu->tss.rsp[0]);
	wrmsr(MSR_SYSENTER_EIP, NO_SYSCALL);
	wrmsr(MSR_GS_BASE, (uint64_t)&percpu_pages[cpu->id]);
	wrmsr(MSR_KERNEL_GS_BASE, 0);
}

/* CPU 0, before anything else. */
NOINLINE void mlsetup(void)
{
	struct cpu *cpu = cpu_of(0);

#ifdef FIXED
	determine_platform(); /* once, while there is nobody to see the provisional value */
#endif
	cpuid_pass1(cpu);
	cpuid_pass2(cpu);
	cpuid_pass3(cpu);
	cpu->state = CPU_ONLINE;
}

/* A3. */
NOINLINE void ap_mlsetup(struct cpu *cpu)
{
	cpu->id = this_cpu()->id;
	init_desctbls(cpu);
	init_msrs(cpu);
}
