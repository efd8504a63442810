/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * The runtime that every guest stands on: it boots, starts CPUs, prints and ends the run.
 *
 * A guest is `int main(unsigned cpus)`, called on CPU 0 with interrupts off; what it returns is the run's exit code. CPU n is
 * the one with APIC id n.
 */
#ifndef RT_H
#define RT_H

#include "cpu.h"
#include "layout.h"

/* --- Where data goes ------------------------------------------------------------------------------------------------------ */

/*
 * What the CPUs of a guest race for. Its pages are watched: each access is a scheduling point. Everything else must be private
 * to one CPU, or written before the other CPUs are started and never again.
 */
#define SHARED __attribute__((section(".shared")))

/* A function that shall be seen on a stack. */
#define NOINLINE __attribute__((noinline))
#define NORETURN __attribute__((noreturn))

int main(unsigned cpus);

/* The page that %gs points at. boot.S knows the first three fields. */
struct percpu {
	struct percpu *self;
	uint32_t id;
	void (*entry)(void);
	uint8_t own[PAGE_SIZE - 32] __attribute__((aligned(16))); /* the guest's own */
};

extern struct percpu percpu_pages[MAX_CPUS];

ALWAYS_INLINE struct percpu *this_cpu(void)
{
	struct percpu *self;
	__asm__("movq %%gs:0, %0" : "=r"(self));
	return self;
}

/* The guest's own part of a CPU's page, as the type it keeps there. */
#define own(type, cpu) ((type *)(cpu)->own)

/* --- CPUs ----------------------------------------------------------------------------------------------------------------- */

/* Starts a CPU in `entry`, on its own stack, with interrupts off. `entry` must not return. */
void start_ap(uint32_t id, void (*entry)(void));

/* For ever `sti; hlt`. */
NORETURN void idle(void);

/* Waits for good, interrupts off. */
NORETURN void halt(void);

/* --- The local APIC ------------------------------------------------------------------------------------------------------- */

/* Each CPU that shall receive interrupts must call it once. */
void lapic_enable(void);
uint32_t lapic_id(void);
void lapic_eoi(void);

/* Sends `vector` (IRQ_BASE or above) to one CPU. */
void send_ipi(uint32_t id, uint32_t vector);

/* To one CPU: an NMI, or the INIT that takes it back to waiting for a SIPI. */
void send_nmi(uint32_t id);
void send_init(uint32_t id);

/* Calls `handler` for each NMI. */
void on_nmi(void (*handler)(void));

/* Calls `handler` for each interrupt on `vector`, and the EOI after it. */
void on_interrupt(uint32_t vector, void (*handler)(void));

/* --- Console and end of run ----------------------------------------------------------------------------------------------- */

/* %s %d %u %x with l where the argument is long, and %%. One CPU at a time: there is no lock, it would be a scheduling point. */
__attribute__((format(printf, 1, 2))) void printf(const char *format, ...);
void print(const char *text, size_t length);

enum exit_code {
	EXIT_OK = 0,
	EXIT_FAILED = 1,    /* the guest's own report: a failed assertion, a violated invariant */
	EXIT_EXCEPTION = 2, /* an exception nobody expected */
};

/* Ends the run. */
NORETURN void exit(int code);

/* Marks the place where a search takes its snapshot. Others ignore it. */
void mark(void);

/*
 * Time passes, and nobody sees it: there is no scheduling point in it. It keeps the CPUs of a plain run apart, where a real
 * kernel has other things to do.
 */
void work(unsigned turns);

/* Says what went wrong and ends the run: a guest's own report of its bug. */
NORETURN void violated(const char *what);

NORETURN void assertion_failed(const char *what, const char *file, int line);

#define ASSERT(condition) ((condition) ? (void)0 : assertion_failed(#condition, __FILE__, __LINE__))

#endif
