// SPDX-License-Identifier: GPL-2.0
/*
 * A process with devices, whose threads do one random operation after the other.
 *
 * All threads meet from time to time; then the devices stop, and what they have
 * cached has to equal the page table, and once more after a fork. What a thread
 * does follows from the seed, the number of its slot, how many processes there
 * were before in the slot, and its own number.
 */
#include <pthread.h>

#include "stress.h"

#define OPS_PER_PHASE	100
#define PHASES		5

static struct slot *slot;
static unsigned int slot_nr, nr_threads;
static pthread_barrier_t barrier;
static bool stop;
static int uffd, uffd_async;
static unsigned int total_weight;

enum { END_CLOSE, END_EXIT, END_IN_THE_MIDDLE, END_EXEC, NR_ENDS };

__u64 begin_op(struct now *now, int op, __u64 nr)
{
	const __u64 begin = now_ms();

	now->op = op;
	now->nr = nr;
	__atomic_store_n(&now->since, begin, __ATOMIC_RELEASE);
	return begin;
}

void end_op(struct now *now, int op, __u64 begin, long ret)
{
	add(shared->ops[op].ms, now_ms() - begin);
	add(shared->ops[op].done, 1);
	if (ret >= 0)
		add(shared->ops[op].ok, 1);
	else
		shared->ops[op].last_errno = errno;
	if (now)
		__atomic_store_n(&now->since, 0, __ATOMIC_RELEASE);
}

static bool can_do(const struct op *op)
{
	const bool control = slot->kind == SLOT_CONTROL;

	return op->weight && !(op->needs_devices && control) &&
	       !(op->for_control && !control);
}

static int random_op(struct thread *t)
{
	unsigned int left = below(t, total_weight);

	for (int i = 0;; i++) {
		if (!can_do(ops[i]))
			continue;
		if (left < ops[i]->weight)
			return i;
		left -= ops[i]->weight;
	}
}

/* Each operation is done once at first, in any order, then by weight. */
static int shuffled_ops(struct thread *t, int *order)
{
	int nr = 0;

	for (int i = 0; i < nr_ops; i++) {
		if (can_do(ops[i]))
			order[nr++] = i;
	}
	for (int i = nr - 1; i > 0; i--) {
		const int j = below(t, i + 1), op = order[i];

		order[i] = order[j];
		order[j] = op;
	}
	/* The control is to be caught, however short the run. */
	for (int i = 0; i < nr; i++) {
		if (ops[order[i]]->for_control) {
			const int op = order[i];

			order[i] = order[0];
			order[0] = op;
		}
	}
	return nr;
}

static void start_devices(struct thread *t)
{
	for (int i = 0; i < NR_DEVS; i++) {
		struct dev *dev = &slot->devs[i];

		if (!dev->attached)
			continue;
		/* The first one never stops. */
		dev_threads(dev, i ? (unsigned int)below(t, 2) :
			    1u + dev->control, below(t, 1000));
		if (one_in(t, 3))
			dev_hot(dev, some_area(t).addr, 16 * page_size);
	}
}

/* All other threads wait. */
static void quiesce(void)
{
	for (int i = 0; i < NR_DEVS; i++) {
		if (slot->devs[i].attached) {
			dev_threads(&slot->devs[i], 0, 0);
			dev_hot(&slot->devs[i], NULL, 0);
		}
	}
	if (slot->devs[0].attached)
		ioctl(slot->devs[0].fd, STLB_SETTLE);
	for (int i = 0; i < NR_DEVS; i++) {
		dev_account(slot, &slot->devs[i]);
		dev_check(slot, &slot->devs[i]);
	}
}

/* At the begin, too: some do not live until the next time. */
static void be_quiet(struct thread *t, __u64 nr)
{
	int op = op_number("quiet point");
	__u64 begin = begin_op(t->now, op, nr);

	quiesce();
	end_op(t->now, op, begin, 0);
	op = op_number("fork, quiet");
	begin = begin_op(t->now, op, nr);
	end_op(t->now, op, begin, ops[op]->run(t));
	if (now_ms() >= shared->end)
		stop = true;
	else
		start_devices(t);
}

static void end_process(struct thread *t, int how)
{
	char *const args[] = { "/init", "exec-end", NULL };

	if (how == END_CLOSE) {
		for (int i = NR_DEVS - 1; i >= 0; i--)
			dev_close(slot, &slot->devs[i]);
	} else if (how == END_EXEC) {
		start_devices(t);
		execv(args[0], args);
	}
	_exit(0);
}

/* Allocations of one thread fail at times; those of its children, too. */
static void make_fail(void)
{
	write_file("/proc/thread-self/make-it-fail", "1");
}

static void *run_thread(void *arg)
{
	struct thread thread = {
		.slot = slot,
		.slot_nr = slot_nr,
		.nr = (uintptr_t)arg,
		.uffd = uffd,
		.uffd_async = uffd_async,
		.proc = open("/proc/self", O_PATH | O_DIRECTORY | O_CLOEXEC),
	}, *t = &thread;
	int order[MAX_OPS], nr_order, op, how;
	__u64 nr = 0, begin;

	t->now = &slot->now[t->nr];
	t->now->tid = syscall(SYS_gettid);
	t->rng = seed_of(slot_nr, slot->generation, t->nr);
	nr_order = shuffled_ops(t, order);
	how = below(t, NR_ENDS);

	if (!t->nr)
		be_quiet(t, 0);
	pthread_barrier_wait(&barrier);
	if (t->nr == 1 && slot->kind == SLOT_WORKER)
		make_fail();
	for (int phase = 0; phase < PHASES && !stop; phase++) {
		for (int i = 0; i < OPS_PER_PHASE; i++, nr++) {
			op = nr < (__u64)nr_order ? order[nr] : random_op(t);
			begin = begin_op(t->now, op, nr);
			end_op(t->now, op, begin, ops[op]->run(t));
			if (now_ms() >= shared->end)
				break;
		}
		if (!t->nr && phase == PHASES - 1 && how == END_IN_THE_MIDDLE)
			_exit(0);
		pthread_barrier_wait(&barrier);
		if (!t->nr)
			be_quiet(t, nr);
		pthread_barrier_wait(&barrier);
	}
	if (!t->nr)
		end_process(t, how);
	sleep_ms(1000000);
	return NULL;
}

void run_worker(unsigned int nr)
{
	pthread_t thread;

	slot_nr = nr;
	slot = &shared->slots[nr];
	nr_threads = slot->kind == SLOT_CONTROL ? 2 : 3;
	for (int i = 0; i < nr_ops; i++) {
		if (can_do(ops[i]))
			total_weight += ops[i]->weight;
	}
	catch_signals();
	enter_cgroup("busy");
	for (int i = 0; i < NR_KEPT; i++) {
		if (slot->devs[i].fd >= 0 && dev_attach(&slot->devs[i])) {
			fail("attach: %s", strerror(errno));
			_exit(99);
		}
	}
	open_uffds(&uffd, &uffd_async);
	pthread_barrier_init(&barrier, NULL, nr_threads);
	for (uintptr_t i = 1; i < nr_threads; i++) {
		if (pthread_create(&thread, NULL, run_thread, (void *)i)) {
			fail("pthread_create: %s", strerror(errno));
			_exit(99);
		}
	}
	run_thread((void *)0);
}
