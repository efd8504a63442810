/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* The beginning and the end of a run. */
#include "rt.h"

#define PORT_EXIT 0xf4
#define PORT_MARK 0xf5

#define HVM_START_MAGIC 0x336ec578

/* What a PVH loader hands over: the head of Xen's hvm_start_info. */
struct hvm_start_info {
	uint32_t magic, version, flags, nr_modules;
	uint64_t modlist_paddr, cmdline_paddr, rsdp_paddr;
};

unsigned rt_init(const struct hvm_start_info *info);

static unsigned cpus_checked(unsigned n)
{
	if (n >= 1 && n <= MAX_CPUS)
		return n;
	printf("cpus=%u: this guest has stacks for 1 to %u CPUs\n", n, MAX_CPUS);
	exit(EXIT_FAILED);
}

/* The N of a word `cpus=N` in the command line; 1 without it. */
static unsigned cpus_wanted(const char *p)
{
	static const char key[] = "cpus=";

	while (*p) {
		unsigned n = 0;

		while (key[n] && p[n] == key[n])
			n++;
		if (!key[n]) {
			unsigned value = 0;
			for (p += n; *p >= '0' && *p <= '9'; p++)
				value = value * 10 + (unsigned)(*p - '0');
			return cpus_checked(value);
		}
		while (*p && *p++ != ' ')
			;
	}
	return 1;
}

/* Called by boot.S; its result is main's argument. The loader's data is read where it lies, in the identity map. */
unsigned rt_init(const struct hvm_start_info *info)
{
	if (info->magic != HVM_START_MAGIC || !info->cmdline_paddr)
		return 1;
	return cpus_wanted((const char *)info->cmdline_paddr);
}

/*
 * QEMU's isa-debug-exit with iosize=4 takes port 0xf5, too, and would end the run there. It reads as 0, a port that nobody
 * answers reads as 0xff.
 */
void mark(void)
{
	if (inb(PORT_MARK))
		outb(PORT_MARK, 0);
}

NOINLINE void work(unsigned turns)
{
	while (turns--)
		pause();
}

void halt(void)
{
	for (;;) {
		cli();
		hlt();
	}
}

NOINLINE void idle(void)
{
	for (;;)
		sti_hlt();
}

void exit(int code)
{
	outl(PORT_EXIT, (uint32_t)code);
	halt();
}

void violated(const char *what)
{
	printf("violated: %s, cpu %u\n", what, this_cpu()->id);
	exit(EXIT_FAILED);
}

void assertion_failed(const char *what, const char *file, int line)
{
	printf("assertion failed: %s, %s:%d, cpu %u\n", what, file, line, this_cpu()->id);
	exit(EXIT_FAILED);
}
