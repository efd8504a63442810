/*
 * A processor hangs with interrupts off, three functions deep:
 *
 *     insmod hang.ko
 *     echo 1 >/sys/module/hang/parameters/cpu
 *
 * The second line starts a thread that never leaves processor 1 again. Nothing that waits for that
 * processor goes on either, so the module can't be unloaded.
 */
#include <linux/cpumask.h>
#include <linux/err.h>
#include <linux/irqflags.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/moduleparam.h>
#include <linux/sched.h>

static bool hang_is_over;
static unsigned long hang_returns;

static noinline void hang_inner(void)
{
	while (!READ_ONCE(hang_is_over))
		cpu_relax();
	/* What follows a call keeps it from becoming a jump, so that each function has a frame. */
	hang_returns++;
}

static noinline void hang_middle(void)
{
	hang_inner();
	hang_returns++;
}

static noinline void hang_outer(void)
{
	hang_middle();
	hang_returns++;
}

static int hang_thread(void *unused)
{
	local_irq_disable();
	hang_outer();
	local_irq_enable();
	return 0;
}

static int set_cpu(const char *text, const struct kernel_param *param)
{
	struct task_struct *thread;
	unsigned int cpu;
	int error = kstrtouint(text, 0, &cpu);

	if (error)
		return error;
	if (cpu >= nr_cpu_ids || !cpu_online(cpu))
		return -EINVAL;
	thread = kthread_create(hang_thread, NULL, "hang");
	if (IS_ERR(thread))
		return PTR_ERR(thread);
	kthread_bind(thread, cpu);
	wake_up_process(thread);
	return 0;
}

static const struct kernel_param_ops cpu_ops = { .set = set_cpu };
module_param_cb(cpu, &cpu_ops, NULL, 0200);
MODULE_PARM_DESC(cpu, "Hangs this processor");
MODULE_DESCRIPTION("Hangs a processor with interrupts off");
MODULE_LICENSE("GPL");
