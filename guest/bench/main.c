// SPDX-License-Identifier: GPL-2.0
/*
 * What operations on memory cost, and what devices are told of them, for make bench.
 * As /init, with one of these behind "--" on the kernel's command line:
 *
 *   precision     what a device is told of each operation, and what it loses
 *   cost          instructions of each operation: needs qemu -icount shift=0, with
 *                 which the TSC counts instructions
 *   wall          nanoseconds of each operation, with a device that takes its time
 *                 and with up to four threads
 *   scale         instructions with many devices and intervals
 *
 * Each line of the report is a kind of record, names, and values: name=value. The
 * last is "bench: done".
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>
#include <time.h>
#include <x86intrin.h>

#include "bench.h"

#define LATENCY		2000	/* ns for a command */
#define WALL_TIMES	15
#define FILL_MAX	(32ul << 20)	/* half of the entries */

FILE *report;
const char *scenario = "set-up";

static int open_bench(__u32 kind, __u32 nr, __u32 count, __u32 model,
		      __u64 latency)
{
	struct bench_attach attach = {
		.kind = kind, .nr = nr, .count = count, .model = model,
		.latency = latency,
	};
	int fd = TRY(open("/dev/mmu_notifier_bench", O_RDWR | O_CLOEXEC));

	TRY(ioctl(fd, BENCH_ATTACH, &attach));
	return fd;
}

/* The states of an mm that operations are measured in. */
static const struct state {
	const char *name;
	__u32 kind, nr;
} states[] = {
	{ "none", 0, 0 },
	{ "kvm", BENCH_KVM, 1 },
	{ "tlb", BENCH_TLB, 1 },
	{ "tlb_8", BENCH_TLB, 8 },
};

static const struct state *state;

static int attach_state(void)
{
	return state->nr ? open_bench(state->kind, state->nr, 0, 0, 0) : -1;
}

/* Precision: a software TLB, what it would cost hardware, and the brackets. */

static size_t fill(int fd, char *start, size_t size)
{
	struct stlb_range range = { .start = (uintptr_t)start, .len = size };

	TRY(ioctl(fd, STLB_FILL, &range));
	return range.cached;
}

/*
 * What does not change. Their last pages are left out: when they are accessed, page
 * table pointers that were lost are looked up again.
 */
static void fill_kept(int fd, const struct op *op)
{
	fill(fd, NEAR, REST_SIZE - PAGE);
	fill(fd, FAR, REST_SIZE - PAGE);
	if (op->kept_size)
		fill(fd, ARENA + op->kept_start, op->kept_size - PAGE);
}

static void fill_last(int fd, const struct op *op)
{
	fill(fd, NEAR + REST_SIZE - PAGE, PAGE);
	fill(fd, FAR + REST_SIZE - PAGE, PAGE);
	if (op->kept_size)
		fill(fd, ARENA + op->kept_start + op->kept_size - PAGE, PAGE);
}

/* Of the arena, what changes, as far as it fits in. */
static void fill_changed(int fd, const struct op *op)
{
	if (op->kept_size && !op->kept_start)
		fill(fd, ARENA + op->kept_size, FILL_MAX - op->kept_size);
	else
		fill(fd, ARENA, op->kept_size ? op->kept_start : FILL_MAX);
}

/* In shared memory: after fork() to write to other memory is an operation, too. */
static struct seen {
	struct stlb_counters before, told, after, refilled, last;
	struct bench_counters bench, brackets;
	__u64 differ;
} *seen;

static __u64 kept(__u64 of, __u64 fills_before, __u64 fills)
{
	return of - (fills - fills_before);
}

static void show_precision(const struct op *op, int stlb, int tlb, int kvm)
{
	size_t changes;

	op->prepare();
	TRY(ioctl(stlb, STLB_SETTLE));
	TRY(ioctl(stlb, STLB_RESET));
	fill_kept(stlb, op);
	TRY(ioctl(stlb, STLB_READ, &seen->before));
	fill_changed(stlb, op);
	TRY(ioctl(tlb, BENCH_RESET));
	TRY(ioctl(kvm, BENCH_RESET));

	op->change();
	TRY(ioctl(tlb, BENCH_READ, &seen->bench));
	TRY(ioctl(stlb, STLB_READ, &seen->told));
	TRY(ioctl(kvm, BENCH_READ, &seen->brackets));
	changes = op->count ? op->count() : op->changes;
	TRY(ioctl(stlb, STLB_CHECK, &seen->differ));
	TRY(ioctl(stlb, STLB_SETTLE));
	TRY(ioctl(stlb, STLB_READ, &seen->after));
	if (seen->told.calls != seen->bench.calls)
		die("two devices were told different things: %llu and %llu calls",
		    seen->told.calls, seen->bench.calls);

	/* What is looked up again was lost. */
	fill_kept(stlb, op);
	TRY(ioctl(stlb, STLB_READ, &seen->refilled));
	fill_last(stlb, op);
	TRY(ioctl(stlb, STLB_READ, &seen->last));
	fprintf(report, "precision %s changes=%zu tables=%d scattered=%d",
		op->name, changes, op->tables, op->scattered);
	fprintf(report, " brackets=%llu calls=%llu full=%llu leaf=%llu level=%llu",
		seen->brackets.brackets, seen->bench.calls, seen->bench.full,
		seen->bench.leaf, seen->bench.level);
	fprintf(report, " bytes=%llu block_bytes=%llu", seen->bench.bytes,
		seen->bench.block_bytes);
	fprintf(report, " vtd=%llu amd=%llu smmu=%llu smmu_range=%llu",
		seen->bench.commands[BENCH_VTD], seen->bench.commands[BENCH_AMD],
		seen->bench.commands[BENCH_SMMU],
		seen->bench.commands[BENCH_SMMU_RANGE]);
	fprintf(report, " kept=%llu of=%llu",
		kept(seen->before.cached, seen->after.fills, seen->refilled.fills),
		seen->before.cached);
	fprintf(report, " tables_kept=%llu tables_of=%llu stale=%llu\n",
		kept(seen->before.table_cached, seen->after.table_fills,
		     seen->last.table_fills),
		seen->before.table_cached,
		seen->after.stale + seen->after.table_stale + seen->differ);
	if (op->restore)
		op->restore();
	unmap_arena();
}

static void run_precision(void)
{
	struct stlb_attach attach = {
		.mode = STLB_MODE_INVALIDATE_RANGE, .entries = 16384,
	};
	const int stlb = TRY(open("/dev/mmu_notifier_test", O_RDWR | O_CLOEXEC));
	int tlb, kvm;

	seen = mmap(NULL, sizeof(*seen), PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	TRY(seen == MAP_FAILED ? -1 : 0);
	map_rest();
	TRY(ioctl(stlb, STLB_ATTACH, &attach));
	tlb = open_bench(BENCH_TLB, 1, 1, 0, 0);
	kvm = open_bench(BENCH_KVM, 1, 0, 0, 0);
	for (size_t i = 0; i < nr_ops; i++) {
		scenario = ops[i].name;
		if (ops[i].uses & PRECISION)
			show_precision(&ops[i], stlb, tlb, kvm);
	}
}

/* Cost. */

static int compare(const void *a, const void *b)
{
	const __u64 *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

/*
 * The mean of all but the largest tenth, in which an interrupt or a refill of a
 * cache happened to come, in hundredths.
 */
static __u64 typical(__u64 *took, size_t nr)
{
	__u64 sum = 0;
	size_t used = nr - nr / 10;

	qsort(took, nr, sizeof(*took), compare);
	for (size_t i = 0; i < used; i++)
		sum += took[i];
	return sum * 100 / used;
}

static __u64 measure(const struct op *op, unsigned int times)
{
	static __u64 took[1000];
	unsigned int dummy;
	__u64 start;

	/* The first are to warm up. */
	for (unsigned int i = 0; i < times + 4; i++) {
		op->prepare();
		start = __rdtscp(&dummy);
		op->change();
		took[i < 4 ? 0 : i - 4] = __rdtscp(&dummy) - start;
		if (op->restore)
			op->restore();
		unmap_arena();
	}
	return typical(took, times);
}

static void check_icount(void)
{
	unsigned int dummy;
	__u64 start = __rdtscp(&dummy), took;

	for (int i = 0; i < 1000000; i++)
		asm("");
	took = __rdtscp(&dummy) - start;
	/* A few instructions for each, whatever the compiler made of it. */
	if (took < 1000000 || took > 6000000)
		die("the TSC does not count instructions: %llu", took);
}

static void be_alone(void)
{
	const struct sched_param param = { .sched_priority = 1 };

	TRY(sched_setscheduler(0, SCHED_FIFO, &param));
	check_icount();
}

static void run_cost(void)
{
	const unsigned int use = sysconf(_SC_NPROCESSORS_ONLN) > 1 ? COST_TWO :
				 COST;
	int fd;

	be_alone();
	attach_child = attach_state;
	for (state = states; state < states + ARRAY_SIZE(states); state++) {
		fd = attach_state();
		for (size_t i = 0; i < nr_ops; i++) {
			scenario = ops[i].name;
			if (ops[i].uses & use)
				fprintf(report, "cost %s %s cpus=%d instructions=%llu\n",
					state->name, scenario, use == COST ? 1 : 2,
					measure(&ops[i], ops[i].times));
		}
		if (fd >= 0)
			TRY(close(fd));
	}
}

/* Scale. */

static const unsigned int numbers[] = { 1, 2, 4, 8, 16, 32, 64 };
static const unsigned int interval_numbers[] = {
	1, 10, 100, 1000, 10000, 100000,
};

static void measure_scale(const char *what, unsigned int nr)
{
	fprintf(report, "scale %s %u instructions=%llu\n", what, nr,
		measure(&ops[0], ops[0].times));
	fflush(report);
}

/*
 * More and more of them, and the first where it happens. To remove so many one by
 * one would take long, so that is left to the end.
 */
static void scale_intervals(const char *what, __u32 kind)
{
	struct bench_attach attach = {
		.kind = kind, .start = (uintptr_t)ARENA, .step = 2 * PAGE,
	};
	unsigned int nr = 0;

	for (size_t i = 0; i < ARRAY_SIZE(interval_numbers); i++) {
		int fd = TRY(open("/dev/mmu_notifier_bench", O_RDWR));

		attach.nr = interval_numbers[i] - nr;
		if (ioctl(fd, BENCH_ATTACH, &attach)) {
			if (errno == EOPNOTSUPP)
				return;
			die("BENCH_ATTACH of %u: %s", attach.nr, strerror(errno));
		}
		nr += attach.nr;
		measure_scale(what, nr);
		attach.start = (uintptr_t)FAR + nr * attach.step;
	}
}

/* Each kind in an mm of its own, which stays. */
static void scale_intervals_apart(const char *what, __u32 kind)
{
	int done[2];
	char byte;

	TRY(pipe(done));
	if (!TRY(fork())) {
		scale_intervals(what, kind);
		TRY(write(done[1], "", 1));
		pause();
	}
	TRY(read(done[0], &byte, 1));
}

static void run_scale(void)
{
	be_alone();
	scenario = "scale";
	measure_scale("tlb", 0);
	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
		int fd = open_bench(BENCH_TLB, numbers[i], 0, 0, 0);

		measure_scale("tlb", numbers[i]);
		TRY(close(fd));
	}
	scale_intervals_apart("interval", BENCH_INTERVAL);
	scale_intervals_apart("tlb_interval", BENCH_TLB_INTERVAL);
}

/* Wall clock. */

static __u64 now(void)
{
	struct timespec ts;

	TRY(clock_gettime(CLOCK_MONOTONIC, &ts));
	return ts.tv_sec * 1000000000ull + ts.tv_nsec;
}

static __u64 median_ns(const struct op *op)
{
	__u64 took[WALL_TIMES];

	for (unsigned int i = 0; i < WALL_TIMES; i++) {
		op->prepare();
		took[i] = now();
		op->change();
		took[i] = now() - took[i];
		if (op->restore)
			op->restore();
		unmap_arena();
	}
	qsort(took, WALL_TIMES, sizeof(took[0]), compare);
	return took[WALL_TIMES / 2];
}

static const struct {
	const char *name;
	__u32 nr, model;
} waited_for[] = {
	{ "none", 0, 0 },
	{ "vtd", 1, BENCH_VTD },
	{ "smmu", 1, BENCH_SMMU },
};

#define MAX_THREADS	4
#define THREAD_ROUNDS	400

static pthread_barrier_t all_there;

/* A thread that gives its memory back, over and over. */
static void *advise_alone(void *arg)
{
	const size_t nr = (uintptr_t)arg;
	char *start = ARENA + nr * HUGE;
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(nr, &set);
	TRY(sched_setaffinity(0, sizeof(set), &set));
	pthread_barrier_wait(&all_there);
	for (unsigned int i = 0; i < THREAD_ROUNDS; i++) {
		memset(start, 1, 16 * PAGE);
		TRY(madvise(start, 16 * PAGE, MADV_DONTNEED));
	}
	pthread_barrier_wait(&all_there);
	return NULL;
}

static void measure_threads(size_t nr)
{
	int fd = open_bench(BENCH_TLB, 1, 1, BENCH_VTD, LATENCY);
	struct bench_counters told;
	pthread_t threads[MAX_THREADS];
	__u64 took;

	TRY(mmap(ARENA, nr * HUGE, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
	TRY(madvise(ARENA, nr * HUGE, MADV_NOHUGEPAGE));
	pthread_barrier_init(&all_there, NULL, nr + 1);
	for (size_t i = 0; i < nr; i++) {
		errno = pthread_create(&threads[i], NULL, advise_alone, (void *)i);
		TRY(errno ? -1 : 0);
	}
	TRY(ioctl(fd, BENCH_RESET));
	pthread_barrier_wait(&all_there);
	took = now();
	pthread_barrier_wait(&all_there);
	took = now() - took;
	TRY(ioctl(fd, BENCH_READ, &told));
	for (size_t i = 0; i < nr; i++)
		pthread_join(threads[i], NULL);
	fprintf(report, "threads %zu ns=%llu full=%llu calls=%llu\n", nr,
		took / THREAD_ROUNDS, told.full, told.calls);
	unmap_arena();
	TRY(close(fd));
}

static void run_wall(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(waited_for); i++) {
		int fd = -1;

		if (waited_for[i].nr)
			fd = open_bench(BENCH_TLB, waited_for[i].nr, 1,
					waited_for[i].model, LATENCY);
		for (size_t j = 0; j < nr_ops; j++) {
			scenario = ops[j].name;
			if (ops[j].uses & WALL)
				fprintf(report, "wall %s %s ns=%llu\n",
					waited_for[i].name, scenario,
					median_ns(&ops[j]));
		}
		if (fd >= 0)
			TRY(close(fd));
	}
	scenario = "threads";
	for (size_t nr = 1; nr <= MAX_THREADS; nr++)
		measure_threads(nr);
}

static const struct {
	const char *name;
	void (*run)(void);
} modes[] = {
	{ "precision", run_precision },
	{ "cost", run_cost },
	{ "scale", run_scale },
	{ "wall", run_wall },
};

int main(int argc, char **argv)
{
	const char *mode = argc > 1 ? argv[1] : "";

	/* What "exec" executes. */
	if (!strcmp(mode, "exit"))
		_exit(0);

	start_report();
	/* Lines are seen as they come. */
	setvbuf(report, NULL, _IOLBF, 0);
	set_up_system();
	set_up_ops();
	for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
		if (strcmp(mode, modes[i].name))
			continue;
		modes[i].run();
		fputs("bench: done\n", report);
		quit(0);
	}
	die("no such mode: '%s'", mode);
}
