/*
 * The guest of the tests: a master that waits for a slave that never comes.
 *
 * gcc -g -O1 -fno-omit-frame-pointer -ffreestanding -fcf-protection=none -mno-red-zone -static
 *     -nostdlib -no-pie -fno-pic -mcmodel=kernel -fdebug-prefix-map=$PWD=/usr/src/uts -Wl,--build-id=none
 *     -Wl,-Ttext=0xfffffffffb854000 -Wl,-Tdata=0xfffffffffb856000 -Wl,-z,noseparate-code
 *     -Wl,-e,mp_start tsc_sync.c start.S -o tsc_sync.elf
 */

volatile unsigned int tsc_ready = 7;
volatile struct { unsigned long pad, flag; } tsc_state[2] = {{1, 2}, {3, 4}};

__attribute__((noinline)) void
tsc_sync_master(int cpu)
{
	while (tsc_ready != 1)
		__builtin_ia32_pause();
	tsc_state[cpu].flag = 0;
}

__attribute__((noinline)) int
mp_start_cpu_common(int cpu)
{
	tsc_sync_master(cpu);
	return (tsc_ready + 1);
}
