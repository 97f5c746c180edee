// SPDX-License-Identifier: GPL-2.0
/*
 * What operations on memory cost, and what devices are told of them, for make bench.
 * As /init, with one of these behind "--" on the kernel's command line:
 *
 *   precision     what a device is told of each operation, and what it loses
 *   cost          instructions of each operation: needs qemu -icount shift=0, with
 *                 which the TSC counts instructions
 *   wall          nanoseconds of each operation, with devices that take their time,
 *                 and which locks are held meanwhile
 *   threads       the same, of threads of one process
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

#define WALL_TIMES	7
#define FILL_MAX	(32ul << 20)	/* half of the entries */

FILE *report;
const char *scenario = "set-up";

/* Returns -1 if the kernel has no such kind. */
static int open_bench(__u32 kind, __u32 nr, __u32 count, __u32 model,
		      __u64 latency)
{
	struct bench_attach attach = {
		.kind = kind, .nr = nr, .count = count, .model = model,
		.latency = latency,
	};
	int fd = TRY(open("/dev/mmu_notifier_bench", O_RDWR | O_CLOEXEC));

	if (ioctl(fd, BENCH_ATTACH, &attach)) {
		if (errno != EOPNOTSUPP)
			die("BENCH_ATTACH: %s", strerror(errno));
		close(fd);
		return -1;
	}
	return fd;
}

static void begin(const struct op *op)
{
	doing = op;
	scenario = op->name;
}

static const char * const models[] = {
	"vtd", "amd", "smmu", "smmu_range", "ocxl",
};

static const char * const held[] = { "", "ptl_", "mmap_", "write_" };

/* Calls and commands, in all and by what was held. */
static void print_calls(const struct bench_counters *told)
{
	for (size_t i = 0; i < ARRAY_SIZE(held); i++) {
		fprintf(report, " %scalls=%llu", held[i], told->sum[i].calls);
		for (size_t j = 0; j < ARRAY_SIZE(models); j++)
			fprintf(report, " %s%s=%llu", held[i], models[j],
				told->sum[i].commands[j]);
	}
	fprintf(report, " full=%llu leaf=%llu level=%llu bytes=%llu",
		told->full, told->leaf, told->level, told->bytes);
}

static void print_times(const struct bench_counters *told)
{
	for (size_t i = 0; i < ARRAY_SIZE(held); i++)
		fprintf(report, " %sns=%llu", held[i], told->sum[i].ns);
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
	{ "in_range", BENCH_TLB_IN_RANGE, 1 },
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

static void show_precision(const char *what, const struct op *op, int stlb,
			   int tlb, int kvm)
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
	if (seen->told.calls != seen->bench.sum[BENCH_ALL].calls)
		die("two devices were told different things: %llu and %llu calls",
		    seen->told.calls, seen->bench.sum[BENCH_ALL].calls);

	/* What is looked up again was lost. */
	fill_kept(stlb, op);
	TRY(ioctl(stlb, STLB_READ, &seen->refilled));
	fill_last(stlb, op);
	TRY(ioctl(stlb, STLB_READ, &seen->last));
	fprintf(report, "%s %s changes=%zu tables=%d scattered=%d brackets=%llu",
		what, op->name, changes, op->tables, op->scattered,
		seen->brackets.brackets);
	print_calls(&seen->bench);
	for (size_t i = 0; i < ARRAY_SIZE(models); i++)
		fprintf(report, " most_%s=%llu whole_%s=%llu", models[i],
			seen->bench.most[i], models[i], seen->bench.whole[i]);
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

static void show_all_precisions(const char *what, int stlb, int tlb, int kvm)
{
	for (size_t i = 0; i < nr_ops; i++) {
		begin(&ops[i]);
		if (ops[i].uses & PRECISION)
			show_precision(what, &ops[i], stlb, tlb, kvm);
	}
}

static void run_precision(void)
{
	struct stlb_attach attach = {
		.mode = STLB_MODE_INVALIDATE_RANGE, .entries = 16384,
	};
	const int stlb = TRY(open("/dev/mmu_notifier_test", O_RDWR | O_CLOEXEC));
	int tlb, kvm, in_range;

	seen = mmap(NULL, sizeof(*seen), PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	TRY(seen == MAP_FAILED ? -1 : 0);
	map_rest();
	TRY(ioctl(stlb, STLB_ATTACH, &attach));
	tlb = open_bench(BENCH_TLB, 1, 1, 0, 0);
	kvm = open_bench(BENCH_KVM, 1, 0, 0, 0);
	show_all_precisions("precision", stlb, tlb, kvm);
	/* One that sees the ranges, and all are told before these end. */
	in_range = open_bench(BENCH_TLB_IN_RANGE, 1, 0, 0, 0);
	if (in_range >= 0)
		show_all_precisions("in_range", stlb, tlb, kvm);
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
		if (fd < 0 && state->nr)
			continue;
		for (size_t i = 0; i < nr_ops; i++) {
			begin(&ops[i]);
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
	begin(&ops[0]);
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

static __u64 median(__u64 *took, size_t nr)
{
	qsort(took, nr, sizeof(*took), compare);
	return took[nr / 2];
}

/*
 * What @fd was told since BENCH_RESET, added to what it was before; the most of one
 * call has no meaning then.
 */
static void add_told(struct bench_counters *sum, int fd)
{
	struct bench_counters told;
	__u64 *to = (__u64 *)sum, *from = (__u64 *)&told;

	TRY(ioctl(fd, BENCH_READ, &told));
	for (size_t i = 0; i < sizeof(told) / sizeof(*from); i++)
		to[i] += from[i];
}

static void measure_wall(const char *device, const struct op *op, int fd)
{
	const unsigned int times = op->wall_times ?: WALL_TIMES;
	struct bench_counters told = { };
	__u64 took[WALL_TIMES];

	for (unsigned int i = 0; i < times; i++) {
		op->prepare();
		if (fd >= 0)
			TRY(ioctl(fd, BENCH_RESET));
		took[i] = now();
		op->change();
		took[i] = now() - took[i];
		if (fd >= 0)
			add_told(&told, fd);
		if (op->restore)
			op->restore();
		unmap_arena();
	}
	fprintf(report, "wall %s %s took=%llu times=%u", device, op->name,
		median(took, times), times);
	print_calls(&told);
	print_times(&told);
	fputc('\n', report);
}

static const struct {
	const char *name;
	__u32 kind, nr, model;
	__u64 latency;	/* ns for a command */
	unsigned int uses;
} waited_for[] = {
	{ "none", 0, 0, 0, 0, WALL | WALL_MANY },
	{ "vtd_0us", BENCH_TLB, 1, BENCH_VTD, 0, WALL | WALL_MANY },
	{ "vtd_2us", BENCH_TLB, 1, BENCH_VTD, 2000, WALL | WALL_MANY },
	{ "vtd_20us", BENCH_TLB, 1, BENCH_VTD, 20000, WALL | WALL_MANY },
	{ "smmu_2us", BENCH_TLB, 1, BENCH_SMMU, 2000, WALL },
	{ "smmu_20us", BENCH_TLB, 1, BENCH_SMMU, 20000, WALL },
	{ "vtd_in_range_2us", BENCH_TLB_IN_RANGE, 1, BENCH_VTD, 2000, WALL },
	{ "vtd_8_0us", BENCH_TLB, 8, BENCH_VTD, 0, WALL_MANY },
	{ "vtd_8_2us", BENCH_TLB, 8, BENCH_VTD, 2000, WALL_MANY },
	{ "vtd_8_20us", BENCH_TLB, 8, BENCH_VTD, 20000, WALL_MANY },
	{ "amd_8_2us", BENCH_TLB, 8, BENCH_AMD, 2000, WALL_MANY },
	{ "amd_8_20us", BENCH_TLB, 8, BENCH_AMD, 20000, WALL_MANY },
};

static void run_wall(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(waited_for); i++) {
		int fd = -1;

		if (waited_for[i].nr) {
			fd = open_bench(waited_for[i].kind, waited_for[i].nr, 1,
					waited_for[i].model,
					waited_for[i].latency);
			if (fd < 0)
				continue;
		}
		for (size_t j = 0; j < nr_ops; j++) {
			begin(&ops[j]);
			if (ops[j].uses & waited_for[i].uses)
				measure_wall(waited_for[i].name, &ops[j], fd);
		}
		if (fd >= 0)
			TRY(close(fd));
	}
}

/* Threads of one process, each on a CPU and with memory of its own. */

#define MAX_THREADS	8
#define CHUNKS		7
#define ROUNDS		16	/* of a chunk */
#define ROUND_SIZE	(16 * PAGE)

static const struct work {
	const char *name;
	void (*prepare)(char *start);	/* a chunk, which is not measured */
	void (*round)(char *start);
} *work;

static pthread_barrier_t all_there;
static __u64 began[MAX_THREADS], ended[MAX_THREADS];

static void map_quietly(char *start, size_t size)
{
	TRY(mmap(start, size, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
	TRY(madvise(start, size, MADV_NOHUGEPAGE));
}

static void prepare_chunk(char *start)
{
	map_quietly(start, ROUNDS * ROUND_SIZE);
}

static void advise_round(char *start)
{
	memset(start, 1, ROUND_SIZE);
	TRY(madvise(start, ROUND_SIZE, MADV_DONTNEED));
}

static void unmap_round(char *start)
{
	map_quietly(start, ROUND_SIZE);
	memset(start, 1, ROUND_SIZE);
	TRY(munmap(start, ROUND_SIZE));
}

/* The zero page, which is replaced. */
static void prepare_reads(char *start)
{
	prepare_chunk(start);
	for (size_t i = 0; i < ROUNDS * ROUND_SIZE; i += PAGE)
		__atomic_load_n(start + i, __ATOMIC_RELAXED);
}

static void cow_round(char *start)
{
	for (size_t i = 0; i < ROUND_SIZE; i += PAGE)
		start[i] = 1;
}

static const struct work works[] = {
	{ "dontneed", prepare_chunk, advise_round },
	{ "munmap", prepare_chunk, unmap_round },
	{ "cow", prepare_reads, cow_round },
};

static void *work_alone(void *arg)
{
	const size_t nr = (uintptr_t)arg;
	char *start = ARENA + nr * HUGE;

	on_cpu(nr % sysconf(_SC_NPROCESSORS_ONLN));
	for (unsigned int chunk = 0; chunk < CHUNKS; chunk++) {
		/* The counters were read. */
		pthread_barrier_wait(&all_there);
		work->prepare(start);
		pthread_barrier_wait(&all_there);
		/* They are reset. */
		pthread_barrier_wait(&all_there);
		began[nr] = now();
		for (unsigned int i = 0; i < ROUNDS; i++)
			work->round(start + i * ROUND_SIZE);
		ended[nr] = now();
		pthread_barrier_wait(&all_there);
	}
	return NULL;
}

/* From when the first begins to when the last is done. */
static __u64 chunk_took(size_t nr)
{
	__u64 first = began[0], last = ended[0];

	for (size_t i = 1; i < nr; i++) {
		if (began[i] < first)
			first = began[i];
		if (ended[i] > last)
			last = ended[i];
	}
	return last - first;
}

static void measure_threads(const char *device, size_t nr, int fd)
{
	struct bench_counters told = { };
	pthread_t threads[MAX_THREADS];
	__u64 took[CHUNKS];

	pthread_barrier_init(&all_there, NULL, nr + 1);
	for (size_t i = 0; i < nr; i++) {
		errno = pthread_create(&threads[i], NULL, work_alone, (void *)i);
		TRY(errno ? -1 : 0);
	}
	for (unsigned int chunk = 0; chunk < CHUNKS; chunk++) {
		pthread_barrier_wait(&all_there);
		pthread_barrier_wait(&all_there);
		TRY(ioctl(fd, BENCH_RESET));
		pthread_barrier_wait(&all_there);
		pthread_barrier_wait(&all_there);
		add_told(&told, fd);
		took[chunk] = chunk_took(nr);
	}
	for (size_t i = 0; i < nr; i++)
		pthread_join(threads[i], NULL);
	fprintf(report, "threads %s %s %zu took=%llu times=%u", device, work->name,
		nr, median(took, CHUNKS) / ROUNDS, CHUNKS * ROUNDS);
	print_calls(&told);
	print_times(&told);
	fputc('\n', report);
	unmap_arena();
}

static const size_t thread_numbers[] = { 1, 2, 3, 4, 6, 8 };

static void run_threads(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(waited_for); i++) {
		int fd;

		if (waited_for[i].nr != 1 || waited_for[i].model != BENCH_VTD)
			continue;
		fd = open_bench(waited_for[i].kind, 1, 1, BENCH_VTD,
				waited_for[i].latency);
		if (fd < 0)
			continue;
		for (work = works; work < works + ARRAY_SIZE(works); work++) {
			scenario = work->name;
			for (size_t j = 0; j < ARRAY_SIZE(thread_numbers); j++)
				measure_threads(waited_for[i].name,
						thread_numbers[j], fd);
		}
		TRY(close(fd));
	}
}

static const struct {
	const char *name;
	void (*run)(void);
} modes[] = {
	{ "precision", run_precision },
	{ "cost", run_cost },
	{ "scale", run_scale },
	{ "wall", run_wall },
	{ "threads", run_threads },
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
