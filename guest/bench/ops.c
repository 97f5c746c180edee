// SPDX-License-Identifier: GPL-2.0
/* The operations: what is mapped, and what is then done to it. */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "bench.h"

#define SMALL		64	/* pages */
#define MANY		4096
#define ROUNDS		100	/* of two threads */

int (*attach_child)(void);
const struct op *doing;

static int file = -1, child_file = -1, self = -1, pagemap = -1, clear_refs = -1;
static pid_t child;
static int go[2], ready[2];

/* Of the arena, for compaction: every so many pages one is used. */
#define SPREAD		32
#define SPREAD_PAGES	(MANY * SPREAD)

static __u64 frames[SPREAD_PAGES];

static void write_text(const char *path, const char *text)
{
	int fd = TRY(open(path, O_WRONLY));

	if (write(fd, text, strlen(text)) < 0)
		die("%s: %s", path, strerror(errno));
	close(fd);
}

void set_up_system(void)
{
	write_text("/sys/kernel/mm/transparent_hugepage/enabled", "madvise");
	/* Nothing comes by on its own. */
	write_text("/sys/kernel/mm/transparent_hugepage/khugepaged/scan_sleep_millisecs",
		   "100000000");
	write_text("/sys/kernel/mm/ksm/pages_to_scan", "10000");
	write_text("/sys/kernel/mm/ksm/sleep_millisecs", "10");
	write_text("/proc/sys/vm/compaction_proactiveness", "0");
	write_text("/proc/sys/vm/compact_unevictable_allowed", "0");
	write_text("/proc/sys/kernel/sched_rt_runtime_us", "-1");
	write_text("/proc/sys/vm/nr_hugepages", "8");
	write_text("/sys/block/zram0/disksize", "64M");
	add_swap("/dev/zram0");
}

void set_up_ops(void)
{
	self = TRY(syscall(SYS_pidfd_open, getpid(), 0));
	pagemap = TRY(open("/proc/self/pagemap", O_RDONLY));
	clear_refs = TRY(open("/proc/self/clear_refs", O_WRONLY));
}

static void map_at(char *start, size_t size, int flags, int fd)
{
	TRY(mmap(start, size, PROT_READ | PROT_WRITE, flags | MAP_FIXED, fd, 0));
	if (!(flags & MAP_HUGETLB))
		TRY(madvise(start, size, MADV_NOHUGEPAGE));
	memset(start, 1, size);
}

static void map(size_t size)
{
	map_at(ARENA, size, MAP_PRIVATE | MAP_ANONYMOUS, -1);
}

void map_rest(void)
{
	map_at(NEAR, REST_SIZE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	map_at(FAR, REST_SIZE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	/* So that fork() does not change it. */
	TRY(mprotect(NEAR, REST_SIZE, PROT_READ));
	TRY(mprotect(FAR, REST_SIZE, PROT_READ));
	/* Nor reclaim, nor compaction. */
	TRY(mlock(NEAR, REST_SIZE));
	TRY(mlock(FAR, REST_SIZE));
}

void unmap_arena(void)
{
	TRY(munmap(ARENA, ARENA_SIZE - HUGE));
}

static void map_1(void)
{
	map(PAGE);
}

static void unmap_1(void)
{
	TRY(munmap(ARENA, PAGE));
}

static void map_16(void)
{
	map(16 * PAGE);
}

static void unmap_16(void)
{
	TRY(munmap(ARENA, 16 * PAGE));
}

/* Where no other memory is, and not where their page tables begin. */
#define ALONE		((char *)0x10000000000 + (300ul << 30) + (1ul << 20))

static void map_16_alone(void)
{
	map_at(ALONE, 16 * PAGE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
}

static void unmap_16_alone(void)
{
	TRY(munmap(ALONE, 16 * PAGE));
}

static void map_512(void)
{
	map(512 * PAGE);
}

static void unmap_512(void)
{
	TRY(munmap(ARENA, 512 * PAGE));
}

static void map_16384(void)
{
	map(16384 * PAGE);
}

static void unmap_16384(void)
{
	TRY(munmap(ARENA, 16384 * PAGE));
}

static void map_thp(size_t size)
{
	TRY(mmap(ARENA, size, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
	TRY(madvise(ARENA, size, MADV_HUGEPAGE));
	memset(ARENA, 1, size);
}

static void map_thp_1(void)
{
	map_thp(HUGE);
}

static void map_thp_32(void)
{
	map_thp(32 * HUGE);
}

static void unmap_thp_1(void)
{
	TRY(munmap(ARENA, HUGE));
}

static void unmap_thp_32(void)
{
	TRY(munmap(ARENA, 32 * HUGE));
}

/* In the middle of a mapping, so that no page table goes. */
static void map_twice(void)
{
	map(2 * SMALL * PAGE);
}

static void dontneed(void)
{
	TRY(madvise(ARENA, SMALL * PAGE, MADV_DONTNEED));
}

/* Every other 4 pages. */
static void advise_vector(void)
{
	struct iovec vec[SMALL / 4];

	for (size_t i = 0; i < ARRAY_SIZE(vec); i++)
		vec[i] = (struct iovec){ ARENA + 8 * i * PAGE, 4 * PAGE };
	TRY(syscall(SYS_process_madvise, self, vec, ARRAY_SIZE(vec),
		    MADV_DONTNEED, 0));
}

static void protect(void)
{
	TRY(mprotect(ARENA, SMALL * PAGE, PROT_READ));
}

static void map_hugetlb(void)
{
	map_at(ARENA, 4 * HUGE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1);
}

static void protect_hugetlb(void)
{
	TRY(mprotect(ARENA, 2 * HUGE, PROT_READ));
}

static void map_small(void)
{
	map(SMALL * PAGE);
}

static size_t replaced;

static size_t faults(void)
{
	struct rusage usage;

	TRY(getrusage(RUSAGE_SELF, &usage));
	return usage.ru_minflt;
}

void on_cpu(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	TRY(sched_setaffinity(0, sizeof(set), &set));
}

/*
 * The child has the pages until it is reaped. It does not run before the parent is
 * back, or sometimes it would be the child that breaks COW of what both write to.
 */
static void fork_first(void)
{
	const struct sched_param first = { .sched_priority = 1 }, other = { };
	const int policy = TRY(sched_getscheduler(0));

	on_cpu(0);
	TRY(sched_setscheduler(0, SCHED_FIFO, &first));
	child = TRY(fork());
	while (!child)
		pause();
	TRY(sched_setscheduler(0, policy, policy == SCHED_FIFO ? &first : &other));
}

/* Each write replaces a page. */
static void fork_and_write(void)
{
	replaced = faults();
	fork_first();
	for (size_t i = 0; i < SMALL; i++)
		ARENA[i * PAGE] = 2;
	replaced = faults() - replaced;
}

/* All that is anonymous and writable, and what was replaced. */
static size_t forked_bytes(void)
{
	FILE *in = fopen("/proc/self/smaps", "r");
	size_t kb, sum = replaced * PAGE;
	char line[256], access[5];
	bool writable = false;

	if (!in)
		die("smaps: %s", strerror(errno));
	while (fgets(line, sizeof(line), in)) {
		if (sscanf(line, "%*x-%*x %4s", access) == 1)
			writable = access[1] == 'w' && access[3] == 'p';
		if (writable && sscanf(line, "Anonymous: %zu", &kb) == 1)
			sum += kb << 10;
	}
	fclose(in);
	return sum;
}

static void reap(void)
{
	TRY(kill(child, SIGKILL));
	TRY(waitpid(child, NULL, 0));
}

/* Side by side, a page each. They cannot be merged: every other is not dumped. */
static void map_vmas(void)
{
	map(doing->vmas * PAGE);
	for (size_t i = 1; i < doing->vmas; i += 2)
		TRY(madvise(ARENA + i * PAGE, PAGE, MADV_DONTDUMP));
	replaced = 0;
}

static void protect_vmas(void)
{
	TRY(mprotect(ARENA, doing->vmas * PAGE, PROT_READ));
}

static void unmap_vmas(void)
{
	TRY(munmap(ARENA, doing->vmas * PAGE));
}

/* To where the entries are not at the same place of their page table. */
static void move_entries(void)
{
	TRY(mremap(ARENA, SMALL * PAGE, SMALL * PAGE,
		   MREMAP_MAYMOVE | MREMAP_FIXED, ARENA + HUGE + 128 * PAGE));
}

static void move_table(void)
{
	TRY(mremap(ARENA, HUGE, HUGE, MREMAP_MAYMOVE | MREMAP_FIXED,
		   ARENA + 4 * HUGE));
}

/*
 * A second CPU in the mm. For 'v' it has been there and is idle, for 's' it stays:
 * flushes of reclaim are only collected if there is one, and for 'm' it does what
 * the first one does.
 */
static int to_other[2] = { -1, -1 }, from_other[2];
static bool leave;
static unsigned int round_first, round_other;

/* Side by side: a round begins when both are there. */
static void advise_rounds(char *start, unsigned int *mine, unsigned int *theirs)
{
	for (unsigned int i = 1; i <= ROUNDS; i++) {
		memset(start, 1, 16 * PAGE);
		__atomic_store_n(mine, i, __ATOMIC_SEQ_CST);
		while (__atomic_load_n(theirs, __ATOMIC_SEQ_CST) < i)
			;
		TRY(madvise(start, 16 * PAGE, MADV_DONTNEED));
	}
}

static void *do_other(void *unused)
{
	char command;

	(void)unused;

	on_cpu(1);
	while (read(to_other[0], &command, 1) == 1) {
		if (command == 'm')
			advise_rounds(ARENA + SMALL * PAGE, &round_other, &round_first);
		TRY(write(from_other[1], &command, 1));
		while (command == 's' && !__atomic_load_n(&leave, __ATOMIC_SEQ_CST))
			;
	}
	return NULL;
}

static void tell_other(char command)
{
	pthread_t thread;

	if (to_other[0] < 0) {
		on_cpu(0);
		TRY(pipe(to_other));
		TRY(pipe(from_other));
		errno = pthread_create(&thread, NULL, do_other, NULL);
		TRY(errno ? -1 : 0);
	}
	__atomic_store_n(&leave, false, __ATOMIC_SEQ_CST);
	TRY(write(to_other[1], &command, 1));
}

static void await_other(void)
{
	char command;

	TRY(read(from_other[0], &command, 1));
}

static void map_many(void)
{
	map(MANY * PAGE);
	tell_other('s');
	await_other();
}

static void page_out_many(void)
{
	TRY(madvise(ARENA, MANY * PAGE, MADV_PAGEOUT));
}

static void map_shared(void)
{
	map_small();
	tell_other('s');
	await_other();
}

static void let_leave(void)
{
	__atomic_store_n(&leave, true, __ATOMIC_SEQ_CST);
}

static void map_visited(void)
{
	map_small();
	tell_other('v');
	await_other();
}

static void page_out(void)
{
	TRY(madvise(ARENA, SMALL * PAGE, MADV_PAGEOUT));
}

static void map_beside(void)
{
	map_twice();
	round_first = 0;
	round_other = 0;
}

static void advise_beside(void)
{
	tell_other('m');
	advise_rounds(ARENA, &round_first, &round_other);
	await_other();
}

static void read_frames(__u64 *to)
{
	const size_t size = SPREAD_PAGES * sizeof(*to);
	const off_t from = (uintptr_t)ARENA / PAGE * sizeof(*to);

	if (pread(pagemap, to, size, from) != (ssize_t)size)
		die("pagemap: %s", strerror(errno));
	for (size_t i = 0; i < SPREAD_PAGES; i++)
		to[i] &= ~0ull >> 9;
}

/* A page here and there all over the memory, which is free otherwise. */
static void map_spread(void)
{
	map(SPREAD_PAGES * PAGE);
	for (size_t i = 0; i < MANY; i++)
		TRY(madvise(ARENA + (i * SPREAD + 1) * PAGE,
			    (SPREAD - 1) * PAGE, MADV_DONTNEED));
	read_frames(frames);
}

static void compact(void)
{
	write_text("/proc/sys/vm/compact_memory", "1");
}

static size_t moved_bytes(void)
{
	static __u64 now[SPREAD_PAGES];
	size_t moved = 0;

	read_frames(now);
	for (size_t i = 0; i < SPREAD_PAGES; i++)
		moved += now[i] != frames[i];
	if (!moved)
		die("compaction moved nothing");
	return moved * PAGE;
}

static unsigned long read_number(const char *path)
{
	unsigned long n;
	FILE *in = fopen(path, "r");

	if (!in || fscanf(in, "%lu", &n) != 1)
		die("%s: no number", path);
	fclose(in);
	return n;
}

static void map_mergeable(void)
{
	map_small();
	TRY(madvise(ARENA, SMALL * PAGE, MADV_MERGEABLE));
}

/* One page stays, all others share it. */
static void run_ksm(void)
{
	int tries = 0;

	write_text("/sys/kernel/mm/ksm/run", "1");
	while (read_number("/sys/kernel/mm/ksm/pages_sharing") < SMALL - 1) {
		if (++tries > 6000)
			die("KSM did not merge");
		usleep(10000);
	}
	write_text("/sys/kernel/mm/ksm/run", "0");
}

/* Or the next time they are thought to be merged already. */
static void unmerge(void)
{
	write_text("/sys/kernel/mm/ksm/run", "2");
}

/* Each is write protected and replaced, but for the one that stays. */
static size_t merged_bytes(void)
{
	return (2 * SMALL - 1) * PAGE;
}

static void clear_soft_dirty(void)
{
	if (write(clear_refs, "4", 1) != 1)
		die("clear_refs: %s", strerror(errno));
}

static void map_file(void)
{
	file = TRY(open("/tmp", O_TMPFILE | O_RDWR, 0600));
	TRY(ftruncate(file, 2 * SMALL * PAGE));
	map_at(ARENA, 2 * SMALL * PAGE, MAP_SHARED, file);
}

static void cut_file(void)
{
	TRY(ftruncate(file, SMALL * PAGE));
}

static void close_file(void)
{
	TRY(close(file));
}

static void map_untouched(void)
{
	TRY(mmap(ARENA, 16 * PAGE, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
	TRY(madvise(ARENA, 16 * PAGE, MADV_NOHUGEPAGE));
}

static void touch_16(void)
{
	for (size_t i = 0; i < 16; i++)
		ARENA[i * PAGE] = 1;
}

/* The zero page, which the first write replaces. */
static void map_zero(void)
{
	map_untouched();
	for (size_t i = 0; i < 16; i++)
		__atomic_load_n(ARENA + i * PAGE, __ATOMIC_RELAXED);
}

/* The child comes to run when the parent waits. */
static void do_fork(void)
{
	child = fork();
	if (!child)
		_exit(0);
	TRY(child);
}

static void await_child(void)
{
	int status;

	TRY(waitpid(child, &status, 0));
	if (status)
		die("the child failed with status %#x", status);
}

/*
 * A child with memory of its own, that waits for the word. The files are shared, so
 * that it is not the child that waits for the device's close, but we are.
 */
static void start_child(bool execs)
{
	char byte;

	TRY(pipe(go));
	TRY(pipe(ready));
	child = TRY(syscall(SYS_clone, CLONE_FILES | SIGCHLD, 0, 0, 0, 0));
	if (!child) {
		unmap_arena();
		map_512();
		child_file = attach_child();
		TRY(write(ready[1], &child_file, sizeof(child_file)));
		TRY(read(go[0], &byte, 1));
		if (execs)
			execl("/proc/self/exe", "bench", "exit", NULL);
		_exit(execs);
	}
	TRY(read(ready[0], &child_file, sizeof(child_file)));
}

static void child_that_exits(void)
{
	start_child(false);
}

static void child_that_execs(void)
{
	start_child(true);
}

static void end_child(void)
{
	TRY(write(go[1], "", 1));
	await_child();
}

static void close_files(void)
{
	if (child_file >= 0)
		TRY(close(child_file));
	for (int i = 0; i < 2; i++) {
		TRY(close(go[i]));
		TRY(close(ready[i]));
	}
}

const struct op ops[] = {
	{ .name = "munmap_1", .uses = PRECISION | COST | WALL,
	  .prepare = map_1, .change = unmap_1, .changes = PAGE,
	  .tables = true, .times = 400 },
	{ .name = "munmap_16", .uses = PRECISION,
	  .prepare = map_16, .change = unmap_16, .changes = 16 * PAGE,
	  .tables = true },
	{ .name = "munmap_16_alone", .uses = PRECISION,
	  .prepare = map_16_alone, .change = unmap_16_alone,
	  .changes = 16 * PAGE, .tables = true },
	{ .name = "munmap_512", .uses = PRECISION | COST | WALL,
	  .prepare = map_512, .change = unmap_512, .changes = 512 * PAGE,
	  .tables = true, .times = 40 },
	{ .name = "munmap_16384", .uses = PRECISION,
	  .prepare = map_16384, .change = unmap_16384,
	  .changes = 16384 * PAGE, .tables = true },
	{ .name = "munmap_2M_thp", .uses = WALL,
	  .prepare = map_thp_1, .change = unmap_thp_1, .changes = HUGE },
	{ .name = "munmap_64M_thp", .uses = PRECISION | WALL,
	  .prepare = map_thp_32, .change = unmap_thp_32,
	  .changes = 32 * HUGE },
	{ .name = "dontneed", .uses = PRECISION | COST | WALL,
	  .prepare = map_twice, .change = dontneed, .changes = SMALL * PAGE,
	  .kept_start = SMALL * PAGE, .kept_size = SMALL * PAGE, .times = 200 },
	{ .name = "process_madvise", .uses = PRECISION | WALL,
	  .prepare = map_twice, .change = advise_vector,
	  .changes = SMALL * PAGE, .scattered = true },
	{ .name = "mprotect", .uses = PRECISION | COST | WALL,
	  .prepare = map_twice, .change = protect, .changes = SMALL * PAGE,
	  .kept_start = SMALL * PAGE, .kept_size = SMALL * PAGE, .times = 200 },
	{ .name = "mprotect_hugetlb", .uses = PRECISION | WALL,
	  .prepare = map_hugetlb, .change = protect_hugetlb,
	  .changes = 2 * HUGE, .kept_start = 2 * HUGE, .kept_size = 2 * HUGE },
	{ .name = "fork_and_write", .uses = PRECISION | WALL,
	  .prepare = map_small, .change = fork_and_write, .restore = reap,
	  .count = forked_bytes, .scattered = true },
	{ .name = "mremap_entries", .uses = PRECISION | WALL,
	  .prepare = map_small, .change = move_entries,
	  .changes = SMALL * PAGE, .tables = true },
	{ .name = "mremap_table", .uses = PRECISION | WALL,
	  .prepare = map_512, .change = move_table, .changes = HUGE,
	  .tables = true },
	{ .name = "reclaim_4096", .uses = PRECISION | WALL_MANY,
	  .prepare = map_many, .change = page_out_many, .restore = let_leave,
	  .changes = MANY * PAGE, .wall_times = 1 },
	{ .name = "compaction", .uses = PRECISION | WALL_MANY,
	  .prepare = map_spread, .change = compact, .count = moved_bytes,
	  .scattered = true, .wall_times = 1 },
	{ .name = "ksm", .uses = PRECISION,
	  .prepare = map_mergeable, .change = run_ksm, .restore = unmerge,
	  .count = merged_bytes },
	{ .name = "soft_dirty", .uses = PRECISION,
	  .prepare = map_small, .change = clear_soft_dirty },
	{ .name = "truncate", .uses = PRECISION | WALL,
	  .prepare = map_file, .change = cut_file, .restore = close_file,
	  .changes = SMALL * PAGE, .kept_size = SMALL * PAGE },
	{ .name = "dontneed_2_threads", .uses = PRECISION,
	  .prepare = map_beside, .change = advise_beside,
	  .changes = 2 * ROUNDS * 16 * PAGE, .scattered = true },
	{ .name = "fault_16", .uses = COST,
	  .prepare = map_untouched, .change = touch_16, .times = 200 },
	{ .name = "cow_16", .uses = COST | WALL,
	  .prepare = map_zero, .change = touch_16, .times = 200 },
	{ .name = "fork", .uses = COST | WALL,
	  .prepare = map_512, .change = do_fork, .restore = await_child,
	  .times = 100 },
	{ .name = "exec", .uses = COST,
	  .prepare = child_that_execs, .change = end_child,
	  .restore = close_files, .times = 160 },
	{ .name = "exit", .uses = COST,
	  .prepare = child_that_exits, .change = end_child,
	  .restore = close_files, .times = 160 },
	{ .name = "reclaim_64", .uses = COST_TWO,
	  .prepare = map_visited, .change = page_out, .times = 100 },
	{ .name = "reclaim_64_busy", .uses = WALL,
	  .prepare = map_shared, .change = page_out, .restore = let_leave },
	{ .name = "fork_vmas_1", .uses = PRECISION | WALL,
	  .vmas = 1, .prepare = map_vmas, .change = fork_first,
	  .restore = reap, .count = forked_bytes, .scattered = true },
	{ .name = "mprotect_vmas_1", .uses = PRECISION | WALL,
	  .vmas = 1, .prepare = map_vmas, .change = protect_vmas,
	  .changes = 1 * PAGE },
	{ .name = "munmap_vmas_1", .uses = PRECISION | WALL,
	  .vmas = 1, .prepare = map_vmas, .change = unmap_vmas,
	  .changes = 1 * PAGE, .tables = true },
	{ .name = "fork_vmas_10", .uses = PRECISION | WALL,
	  .vmas = 10, .prepare = map_vmas, .change = fork_first,
	  .restore = reap, .count = forked_bytes, .scattered = true },
	{ .name = "mprotect_vmas_10", .uses = PRECISION | WALL,
	  .vmas = 10, .prepare = map_vmas, .change = protect_vmas,
	  .changes = 10 * PAGE },
	{ .name = "munmap_vmas_10", .uses = PRECISION | WALL,
	  .vmas = 10, .prepare = map_vmas, .change = unmap_vmas,
	  .changes = 10 * PAGE, .tables = true },
	{ .name = "fork_vmas_100", .uses = PRECISION | COST | WALL,
	  .vmas = 100, .prepare = map_vmas, .change = fork_first,
	  .restore = reap, .count = forked_bytes, .scattered = true,
	  .times = 20 },
	{ .name = "mprotect_vmas_100", .uses = PRECISION | COST | WALL,
	  .vmas = 100, .prepare = map_vmas, .change = protect_vmas,
	  .changes = 100 * PAGE, .times = 20 },
	{ .name = "munmap_vmas_100", .uses = PRECISION | COST | WALL,
	  .vmas = 100, .prepare = map_vmas, .change = unmap_vmas,
	  .changes = 100 * PAGE, .tables = true, .times = 20 },
	{ .name = "fork_vmas_1000", .uses = PRECISION | WALL,
	  .vmas = 1000, .prepare = map_vmas, .change = fork_first,
	  .restore = reap, .count = forked_bytes, .scattered = true },
	{ .name = "mprotect_vmas_1000", .uses = PRECISION | WALL,
	  .vmas = 1000, .prepare = map_vmas, .change = protect_vmas,
	  .changes = 1000 * PAGE },
	{ .name = "munmap_vmas_1000", .uses = PRECISION | WALL,
	  .vmas = 1000, .prepare = map_vmas, .change = unmap_vmas,
	  .changes = 1000 * PAGE, .tables = true },
};

const size_t nr_ops = ARRAY_SIZE(ops);
