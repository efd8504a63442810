/*
 * Two threads, on processors 0 and 1, add to one counter. Without a lock, updates are lost, and the
 * number that is printed when the module is unloaded is too small. race_fixed.c is the same with a
 * lock.
 */
#include <linux/delay.h>
#include <linux/err.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/sched.h>
#include <linux/spinlock.h>

#define THREADS 2

static unsigned long counter;
static unsigned long added[THREADS];
static struct task_struct *threads[THREADS];

#ifdef FIXED
static DEFINE_SPINLOCK(counter_lock);
#define LOCK() spin_lock(&counter_lock)
#define UNLOCK() spin_unlock(&counter_lock)
#else
#define LOCK() do { } while (0)
#define UNLOCK() do { } while (0)
#endif

/* The load and the store are two instructions. */
static noinline void race_add(void)
{
	unsigned long seen;

	LOCK();
	seen = counter;
	barrier();
	counter = seen + 1;
	UNLOCK();
}

static noinline unsigned long race_read(void)
{
	unsigned long seen;

	LOCK();
	seen = counter;
	UNLOCK();
	return seen;
}

static int race_thread(void *data)
{
	unsigned long number = (unsigned long)data, largest = 0;

	while (!kthread_should_stop()) {
		race_add();
		added[number]++;
		largest = max(largest, race_read());
		usleep_range(50, 100);
	}
	pr_info("thread %lu has seen %lu\n", number, largest);
	return 0;
}

static void stop(void)
{
	int number;

	for (number = 0; number < THREADS; number++)
		if (threads[number])
			kthread_stop(threads[number]);
}

static int __init race_init(void)
{
	unsigned long number;

	for (number = 0; number < THREADS; number++) {
		struct task_struct *thread =
			kthread_create(race_thread, (void *)number, "race/%lu", number);

		if (IS_ERR(thread)) {
			stop();
			return PTR_ERR(thread);
		}
		if (number < nr_cpu_ids && cpu_online(number))
			kthread_bind(thread, number);
		threads[number] = thread;
		wake_up_process(thread);
	}
	return 0;
}

static void __exit race_exit(void)
{
	stop();
	pr_info("counted %lu of %lu\n", counter, added[0] + added[1]);
}

module_init(race_init);
module_exit(race_exit);
MODULE_DESCRIPTION("A counter that two processors add to");
MODULE_LICENSE("GPL");
