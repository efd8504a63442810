/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * Two CPUs each ask CPU 0 for something by an NMI, and the handler counts: one request each time. A processor has one bit for an NMI that
 * waits: what comes before it is taken is the same one, and two requests become one. (Linux ccd49c239177 and KVM 7460fb4a3400 have the
 * states of NMIs. KVM itself gives both if CPU 0 takes none just then, so a plain run never shows it.)
 *
 * FIXED never fails: each asks when the request before it has been counted, so at most one NMI waits.
 */
#include "race.h"

static SHARED volatile uint64_t served;

static NOINLINE void on_request(void)
{
	uint64_t before = served;

	served = before + 1;
}

static NOINLINE void server(void)
{
	do
		pause();
	while (served != 2);
}

static NOINLINE void ask(void)
{
#ifdef FIXED
	while (served != this_cpu()->id - 1)
		pause();
#endif
	send_nmi(0);
}

int main(unsigned cpus)
{
	on_nmi(on_request);
	race(cpus, 3, server, ask);
	return EXIT_OK;
}
