#include "race.h"
/*
 * Functions that are called a known number of times: 50 by each of two CPUs, one in an interrupt handler, one that has an INT3
 * of its own at its beginning, and one that the guest overwrites. What it counts itself is printed, for probes to be compared.
 */
#define EACH(F) F(0) F(1) F(2) F(3) F(4) F(5) F(6) F(7) F(8) F(9)
#define ROUNDS 20
#define GATE 16
static uint64_t counts[MAX_CPUS];
#define FUNCTION(tens, n) void call_##tens##n(uint64_t *count); NOINLINE void call_##tens##n(uint64_t *count) { *count += 1 + n; }
#define F0(n) FUNCTION(0, n)
#define F1(n) FUNCTION(1, n)
#define F2(n) FUNCTION(2, n)
#define F3(n) FUNCTION(3, n)
#define F4(n) FUNCTION(4, n)
EACH(F0) EACH(F1) EACH(F2) EACH(F3) EACH(F4)
#define CALL(tens, n) for (unsigned i = 0; i <= n; i++) call_##tens##n(count);
#define C0(n) CALL(0, n)
#define C1(n) CALL(1, n)
#define C2(n) CALL(2, n)
#define C3(n) CALL(3, n)
#define C4(n) CALL(4, n)
static void call_all(void)
{
	uint64_t *count = &counts[this_cpu()->id];
	for (unsigned round = 0; round < ROUNDS; round++) {
		EACH(C0) EACH(C1) EACH(C2) EACH(C3) EACH(C4)
	}
}
/* In a handler, between two calls of the same function outside. */
static volatile uint64_t handled;
void in_handler(void);
NOINLINE void in_handler(void) { handled++; }
static void on_ipi(void) { in_handler(); }
static void interrupts(void)
{
	on_interrupt(IRQ_BASE, on_ipi);
	for (unsigned i = 0; i < ROUNDS; i++) {
		in_handler();
		send_ipi(this_cpu()->id, IRQ_BASE);
		sti();
		pause();
		pause();
		cli();
		in_handler();
	}
}
/* Its own INT3, and a handler of #BP that counts and notes where it returns to. */
extern uint8_t idt[];
volatile uint64_t caught, caught_at;
void own_int3(void);
void own_int3_end(void);
void on_bp(void);
__asm__(".text\n.globl own_int3, own_int3_end, on_bp\n.type own_int3, @function\nown_int3: int3\nown_int3_end: ret\n.size own_int3, . - own_int3\n"
	".type on_bp, @function\non_bp: incq caught(%rip)\npushq %rax\nmovq 8(%rsp),%rax\nmovq %rax,caught_at(%rip)\npopq %rax\niretq\n.size on_bp, . - on_bp\n");
static void breakpoints(void)
{
	uint64_t handler = (uint64_t)on_bp;
	volatile uint64_t *gate = (volatile uint64_t *)(idt + 3 * GATE);
	gate[0] = (handler & 0xffff) | KERNEL_CS << 16 | 0x8eull << 40 | (handler >> 16 & 0xffff) << 48;
	gate[1] = handler >> 32;
	for (unsigned i = 0; i < ROUNDS; i++)
		own_int3();
	if (caught_at != (uint64_t)own_int3_end)
		violated("#BP returns to another address");
}
/* Code that the guest changes: the first instruction is replaced by one of another length, and then back. */
uint64_t changed(void);
__asm__(".text\n.globl changed\n.type changed, @function\nchanged: movl $1,%eax\nret\n.skip 8, 0x90\n.size changed, . - changed\n");
static void put(const uint8_t *code, unsigned size)
{
	for (unsigned i = 0; i < size; i++)
		((volatile uint8_t *)changed)[i] = code[i];
}
static void code(void)
{
	static const uint8_t one[] = { 0xb8, 1, 0, 0, 0, 0xc3 };
	static const uint8_t two[] = { 0x31, 0xc0, 0x83, 0xc0, 2, 0xc3 }; /* xor %eax,%eax; add $2,%eax; ret */
	uint64_t cr0, sum = 0;
	__asm__ volatile("mov %%cr0,%0; and $~0x10000,%0; mov %0,%%cr0" : "=r"(cr0)); /* WP off */
	for (unsigned i = 0; i < ROUNDS; i++) {
		sum += changed();
		put(two, sizeof(two));
		sum += changed();
		put(one, sizeof(one));
	}
	if (sum != 3 * ROUNDS)
		violated("the changed code is not what was executed");
}
int main(unsigned cpus)
{
	race(cpus, cpus > 1 ? 2 : 1, call_all, call_all);
	interrupts();
	breakpoints();
	code();
	printf("counted %lu %lu, handled %lu, caught %lu\n", counts[0], counts[1], handled, caught);
	return EXIT_OK;
}
