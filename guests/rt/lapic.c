/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* The local APIC, through its page: x2APIC registers are MSRs, which no hypervisor's userspace gets to see. */
#include "rt.h"

#define LAPIC_ID       0x020
#define LAPIC_EOI      0x0b0
#define LAPIC_SVR      0x0f0
#define LAPIC_ICR_LOW  0x300
#define LAPIC_ICR_HIGH 0x310
#define LAPIC_LINT0    0x350

#define SVR_ENABLE  0x100
#define LVT_MASKED  0x10000
#define ICR_FIXED   0x4000 /* level: assert */
#define ICR_NMI     0x4400
#define ICR_INIT    0x4500
#define ICR_STARTUP 0x4600

extern const char trampoline_start[], trampoline_end[];

static volatile uint32_t *lapic(uint32_t offset)
{
	return (volatile uint32_t *)(LAPIC_VIRT + offset);
}

/* No wait for the delivery status: a virtual LAPIC has delivered when the store is done, and reading it would be an exit. */
ALWAYS_INLINE void icr(uint32_t id, uint32_t command)
{
	*lapic(LAPIC_ICR_HIGH) = id << 24;
	*lapic(LAPIC_ICR_LOW) = command;
}

void start_ap(uint32_t id, void (*entry)(void))
{
	static bool planted;

	if (!planted) {
		__builtin_memcpy((void *)TRAMPOLINE, trampoline_start, (size_t)(trampoline_end - trampoline_start));
		planted = true;
	}
	percpu_pages[id].entry = entry;
	icr(id, ICR_INIT);
	icr(id, ICR_STARTUP | TRAMPOLINE / PAGE_SIZE);
}

/*
 * LINT0 is where a PC's old interrupt controller sits, with a timer that the firmware left running. It is masked first: QEMU
 * looks again for what is pending only when the other register is written.
 */
void lapic_enable(void)
{
	*lapic(LAPIC_LINT0) = LVT_MASKED;
	*lapic(LAPIC_SVR) = SVR_ENABLE | (VECTORS - 1);
}

uint32_t lapic_id(void)
{
	return *lapic(LAPIC_ID) >> 24;
}

void lapic_eoi(void)
{
	*lapic(LAPIC_EOI) = 0;
}

void send_nmi(uint32_t id)
{
	icr(id, ICR_NMI);
}

void send_init(uint32_t id)
{
	icr(id, ICR_INIT);
}

void send_ipi(uint32_t id, uint32_t vector)
{
	icr(id, ICR_FIXED | vector);
}
