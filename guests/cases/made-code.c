#include "race.h"
/* An RDTSC in code that the guest makes at run time: nobody can have replaced it, so the runs see the host's counter. */
static SHARED volatile uint64_t time_read, other_done;
/* Executable, and written without write protection. */
__asm__(".pushsection .text\nroom_for_code: .skip 16, 0x90\nret\n.popsection\n");
extern const uint8_t room_for_code[];
static NOINLINE void reader(void)
{
	static const uint8_t code[] = {
		0x0f, 0x31,             /* rdtsc */
		0x48, 0xc1, 0xe2, 0x20, /* shl $32,%rdx */
		0x48, 0x09, 0xd0,       /* or %rdx,%rax */
	};
	volatile uint8_t *made = (volatile uint8_t *)room_for_code;
	uint64_t time, cr0;
	__asm__ volatile("mov %%cr0,%0; and $~0x10000,%0; mov %0,%%cr0" : "=r"(cr0)); /* WP off */
	for (unsigned i = 0; i < sizeof(code); i++)
		made[i] = code[i];
	__asm__ volatile("call *%1" : "=a"(time) : "r"(room_for_code) : "rdx", "memory", "cc");
	time_read = time;
}
static NOINLINE void other(void) { other_done = 1; }
int main(unsigned cpus) { race(cpus, 2, reader, other); return EXIT_OK; }
