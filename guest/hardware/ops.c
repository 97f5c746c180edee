// SPDX-License-Identifier: GPL-2.0
/* The operations, the table of which is at the end. */
#define _GNU_SOURCE
#include <linux/mempolicy.h>
#include <linux/userfaultfd.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "hardware.h"

#ifndef MAP_HUGE_1GB
#define MAP_HUGE_1GB		(30 << MAP_HUGE_SHIFT)
#endif
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE		25
#endif
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE	23
#endif
#ifndef UFFDIO_MOVE
#define UFFD_FEATURE_MOVE	0x10000
#define UFFDIO_MOVE		_IOWR(UFFDIO, 5, struct uffdio_move)

struct uffdio_move {
	__u64 dst;
	__u64 src;
	__u64 len;
	__u64 mode;
	__s64 move;
};
#endif

#define BOUNDARY	((char *)(1ul << 46))	/* inside of every large block */
#define FEW		8ul

/* Written to in prepare(), so that each page has another content. */
static void map_at(char *start, size_t size, int flags, int fd)
{
	TRY(mmap(start, size, ALL, flags | MAP_FIXED, fd, 0));
}

static void write_pages(const struct area *a, __u64 first)
{
	for (size_t i = 0; i < a->count; i++)
		cpu_store(a->start + i * a->stride, first + i);
}

static void set_area(char *start, size_t count, size_t stride)
{
	area = (struct area) { start, count, stride };
	write_pages(&area, 0x1000);
}

/* Anonymous memory, of 64 pages, and another VMA on both sides of it. */
#define PAGES		64ul
#define SIZE		(PAGES * PAGE)

static void anonymous(void)
{
	map_at(AREA - MIB, MIB + SIZE + MIB, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	TRY(mprotect(AREA - MIB, MIB, PROT_READ));
	TRY(mprotect(AREA + SIZE, MIB, PROT_READ));
	set_area(AREA, PAGES, PAGE);
}

static void one_page(void)
{
	anonymous();
	set_area(AREA, 1, PAGE);
}

static void unmap_page(void)
{
	TRY(munmap(AREA, PAGE));
}

static void unmap_range(void)
{
	TRY(munmap(AREA, SIZE));
}

static void unmap_hole(void)
{
	TRY(munmap(AREA + SIZE / 4, SIZE / 2));
}

/* Not what a power of 2 would cover anyway. */
static void unmap_odd(void)
{
	TRY(munmap(AREA, SIZE / 2 + PAGE));
}

static void two_sides(void)
{
	map_at(BOUNDARY - PAGE, 2 * PAGE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	set_area(BOUNDARY - PAGE, 2, PAGE);
}

static void unmap_two_sides(void)
{
	TRY(munmap(BOUNDARY - PAGE, 2 * PAGE));
}

/* Page tables of their own, that are freed. */
static void sparse(void)
{
	map_at(AREA, 16 * PMD, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	TRY(madvise(AREA, 16 * PMD, MADV_NOHUGEPAGE));
	set_area(AREA, 16, PMD);
}

static void unmap_sparse(void)
{
	TRY(munmap(AREA, 16 * PMD));
}

/*
 * The freed page tables are page tables again, of something else, where there is an entry
 * for each address that could be looked up in the old ones.
 */
static void unmap_and_reuse(void)
{
	unmap_sparse();
	pause_ms(100);
	map_at(ELSEWHERE, 64 * PMD, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	TRY(madvise(ELSEWHERE, 64 * PMD, MADV_NOHUGEPAGE));
	for (size_t i = 0; i < 64; i++)
		cpu_store(ELSEWHERE + i * PMD, 1);
}

static void map_over(void)
{
	map_at(AREA, SIZE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
}

static void prepare_protect(void)
{
	anonymous();
	harmless = true;
}

static void protect_read(void)
{
	TRY(mprotect(AREA, SIZE, PROT_READ));
}

static void protect_none(void)
{
	TRY(mprotect(AREA, SIZE, PROT_NONE));
}

static void dontneed(void)
{
	TRY(madvise(AREA, SIZE, MADV_DONTNEED));
}

/* Reclaim drops what is clean, and keeps what the device wrote since it read it. */
static void lazy_free(void)
{
	const struct area few = { AREA, FEW, PAGE };

	TRY(madvise(AREA, SIZE, MADV_FREE));
	device_read_all(device, access_flags(), &few);
	for (size_t i = 0; i < FEW && !only_read; i++)
		if (!device_write(device, access_flags() | SVA_PRI, AREA + i * PAGE,
				  0xf4ee + i))
			die("the device cannot write to page %zu", i);
	TRY(madvise(AREA, SIZE, MADV_PAGEOUT));
	for (size_t i = 0; i < FEW && !only_read; i++)
		if (cpu_load(AREA + i * PAGE) != 0xf4ee + i)
			stale("page %zu: what was written after MADV_FREE is gone", i);
}

/* What /proc/self/pagemap has of a page. */
#define PM_SOFT_DIRTY		0x0080000000000000
#define PM_SWAP			0x4000000000000000
#define PM_PFN(entry)		((entry) & (PM_SOFT_DIRTY - 1))

static __u64 page_entry(size_t page)
{
	const char *addr = area.start + page * area.stride;
	const int fd = TRY(open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC));
	__u64 entry;

	if (pread(fd, &entry, sizeof(entry), (uintptr_t)addr / PAGE * sizeof(entry)) !=
	    sizeof(entry))
		die("nothing in pagemap");
	close(fd);
	return entry;
}

/* With page requests, the device gets it back. */
static void page_out(void)
{
	size_t swapped = 0;

	TRY(madvise(AREA, SIZE, MADV_PAGEOUT));
	for (size_t i = 0; i < area.count; i++)
		swapped += !!(page_entry(i) & PM_SWAP);
	if (!swapped)
		die("no page was swapped out");
}

/* The entries are write-protected, so that the next write is noticed. */
static void clear_soft_dirty(void)
{
	put_file("/proc/self/clear_refs", "4");
}

/* After check_pages(), which wrote wherever the device could. */
static void check_soft_dirty(void)
{
	for (size_t i = 0; i < area.count; i++)
		if (cpu_load(area.start + i * area.stride) != 0x1000 + i &&
		    !(page_entry(i) & PM_SOFT_DIRTY))
			stale("page %zu was written, and is not dirty", i);
}

/* Pages of the same content become one, to which none may write. */
static void same_content(void)
{
	anonymous();
	for (size_t i = 0; i < area.count; i++)
		cpu_store(area.start + i * area.stride, 0x5a3e);
}

static void merge_pages(void)
{
	char text[32] = "";
	int fd;

	TRY(madvise(AREA, SIZE, MADV_MERGEABLE));
	put_file(KSM "run", "1");
	for (unsigned int tries = 0; strtoul(text, NULL, 0) != PAGES - 1; tries++) {
		if (tries == 1000)
			die("%s pages were merged", text);
		pause_ms(10);
		fd = TRY(open(KSM "pages_sharing", O_RDONLY | O_CLOEXEC));
		TRY(read(fd, text, sizeof(text) - 1));
		close(fd);
	}
	put_file(KSM "run", "0");
}

/*
 * Another process has the same pages. It is asked how many of them are not what they were
 * when it was made.
 */
static int ask[2], answer[2];

static unsigned int wrong_pages(void)
{
	unsigned int wrong = 0;

	for (size_t i = 0; i < area.count; i++)
		wrong += cpu_load(area.start + i * area.stride) != 0x1000 + i;
	return wrong;
}

static void be_witness(void)
{
	unsigned int wrong;
	char c;

	while (read(ask[0], &c, 1) == 1) {
		wrong = wrong_pages();
		if (write(answer[1], &wrong, sizeof(wrong)) != sizeof(wrong))
			break;
	}
	_exit(0);
}

static void check_witness(void)
{
	unsigned int wrong;

	if (write(ask[1], "", 1) != 1 ||
	    read(answer[0], &wrong, sizeof(wrong)) != sizeof(wrong))
		die("the other process does not answer");
	if (wrong)
		stale("%u pages of another process were written", wrong);
}

static void make_pipes(void)
{
	TRY(pipe2(ask, O_CLOEXEC));
	TRY(pipe2(answer, O_CLOEXEC));
}

static pid_t fork_witness(void)
{
	pid_t pid = TRY(fork());

	if (!pid) {
		TRY(prctl(PR_SET_PDEATHSIG, SIGKILL));
		close(ask[1]);
		be_witness();
	}
	/* If it ends, there is no answer. */
	close(answer[1]);
	return pid;
}

static void prepare_fork(void)
{
	anonymous();
	make_pipes();
}

static void fork_only(void)
{
	fork_witness();
}

static void write_half(void)
{
	for (size_t i = 0; i < area.count / 2; i++)
		cpu_store(area.start + i * area.stride, 0xc03 + i);
}

static void fork_and_write(void)
{
	fork_witness();
	write_half();
}

/* The subject is the child: what it writes is copied for it. */
static void become_child(void)
{
	pid_t pid = TRY(fork());

	if (pid) {
		close(ask[1]);
		be_witness();
	}
	TRY(prctl(PR_SET_PDEATHSIG, SIGKILL));
	close(ask[0]);
	close(answer[1]);
	fill_reads = true;
}

static void prepare_child(void)
{
	prepare_fork();
	become_child();
}

static void move_pages_away(void)
{
	TRY(mremap(AREA, SIZE, SIZE, MREMAP_MAYMOVE | MREMAP_FIXED, ELSEWHERE));
}

static struct area moved;

static void check_moved(void)
{
	moved = area;
	moved.start = ELSEWHERE;
	check_pages(device, &moved);
}

static void whole_tables(void)
{
	map_at(AREA, 2 * PMD, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	TRY(madvise(AREA, 2 * PMD, MADV_NOHUGEPAGE));
	TRY(madvise(AREA, 2 * PMD, MADV_POPULATE_WRITE));
	set_area(AREA, PAGES, 2 * PMD / PAGES);
}

static void move_tables(void)
{
	TRY(mremap(AREA, 2 * PMD, 2 * PMD, MREMAP_MAYMOVE | MREMAP_FIXED, ELSEWHERE));
}

static int uffd;

static void register_uffd(char *start, size_t size, __u64 features, __u64 mode)
{
	struct uffdio_api api = { .api = UFFD_API, .features = features };
	struct uffdio_register range = {
		.range = { (uintptr_t)start, size }, .mode = mode,
	};

	uffd = TRY(syscall(SYS_userfaultfd, O_CLOEXEC));
	TRY(ioctl(uffd, UFFDIO_API, &api));
	TRY(ioctl(uffd, UFFDIO_REGISTER, &range));
}

static void prepare_uffd_move(size_t size)
{
	map_at(ELSEWHERE, size, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	register_uffd(ELSEWHERE, size, UFFD_FEATURE_MOVE, UFFDIO_REGISTER_MODE_MISSING);
}

static void uffd_move(size_t size)
{
	struct uffdio_move m = { (uintptr_t)ELSEWHERE, (uintptr_t)AREA, size };

	TRY(ioctl(uffd, UFFDIO_MOVE, &m));
}

static void prepare_uffd_pages(void)
{
	anonymous();
	prepare_uffd_move(SIZE);
}

static void uffd_move_pages(void)
{
	uffd_move(SIZE);
}

static void prepare_uffd_protect(void)
{
	anonymous();
	register_uffd(AREA, SIZE, UFFD_FEATURE_PAGEFAULT_FLAG_WP,
		      UFFDIO_REGISTER_MODE_WP);
	harmless = true;
	write_protected = true;
}

static void uffd_protect(void)
{
	struct uffdio_writeprotect w = {
		.range = { (uintptr_t)AREA, SIZE }, .mode = UFFDIO_WRITEPROTECT_MODE_WP,
	};

	TRY(ioctl(uffd, UFFDIO_WRITEPROTECT, &w));
}

static int file = -1;

static void shared_file(void)
{
	file = TRY(memfd_create("hardware", MFD_CLOEXEC));
	TRY(ftruncate(file, SIZE));
	map_at(AREA, SIZE, MAP_SHARED, file);
	set_area(AREA, PAGES, PAGE);
}

static void truncate_file(void)
{
	TRY(ftruncate(file, SIZE / 2));
}

static void punch_hole(void)
{
	TRY(fallocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, SIZE / 4, SIZE / 2));
}

/* Huge pages: whether one is there is seen by what ATS gives. */
static void huge(void)
{
	map_at(AREA, 2 * PMD, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	TRY(madvise(AREA, 2 * PMD, MADV_HUGEPAGE));
	set_area(AREA, PAGES, 2 * PMD / PAGES);
}

static void prepare_uffd_huge(void)
{
	huge();
	prepare_uffd_move(2 * PMD);
}

static void uffd_move_huge(void)
{
	uffd_move(2 * PMD);
}

static void huge_unmap(void)
{
	TRY(munmap(AREA, 2 * PMD));
}

static void huge_protect_part(void)
{
	TRY(mprotect(AREA + PMD / 2, PMD / 2, PROT_READ));
}

static void huge_dontneed_part(void)
{
	TRY(madvise(AREA + PMD / 2, PMD / 2, MADV_DONTNEED));
}

static void not_huge(void)
{
	map_at(AREA, 2 * PMD, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	TRY(madvise(AREA, 2 * PMD, MADV_NOHUGEPAGE));
	TRY(madvise(AREA, 2 * PMD, MADV_POPULATE_WRITE));
	TRY(madvise(AREA, 2 * PMD, MADV_HUGEPAGE));
	set_area(AREA, PAGES, 2 * PMD / PAGES);
}

static void collapse(void)
{
	TRY(madvise(AREA, 2 * PMD, MADV_COLLAPSE));
}

static void migrate(void)
{
	void *pages[PAGES];
	int nodes[PAGES], status[PAGES];
	unsigned int there;

	for (int to = 0; to < 2; to++) {
		for (size_t i = 0; i < area.count; i++) {
			pages[i] = area.start + i * area.stride;
			nodes[i] = to;
		}
		TRY(syscall(SYS_move_pages, 0, area.count, pages, nodes, status,
			    MPOL_MF_MOVE));
		/* Of a large page, the first. */
		there = 0;
		for (size_t i = 0; i < area.count; i++)
			there += status[i] == to;
		if (!there)
			die("no page moved to node %d: %d", to, status[0]);
	}
}

/* A page here and there, which compaction brings together. */
#define GAP		32ul

static __u64 pfns[PAGES];

static void scattered(void)
{
	/* What was free lately is where compaction puts pages: it is taken meanwhile. */
	map_at(ELSEWHERE, 64 * MIB, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	TRY(madvise(ELSEWHERE, 64 * MIB, MADV_NOHUGEPAGE));
	TRY(madvise(ELSEWHERE, 64 * MIB, MADV_POPULATE_WRITE));
	map_at(AREA, GAP * SIZE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	TRY(madvise(AREA, GAP * SIZE, MADV_NOHUGEPAGE));
	TRY(madvise(AREA, GAP * SIZE, MADV_POPULATE_WRITE));
	for (size_t i = 0; i < PAGES; i++)
		TRY(madvise(AREA + (i * GAP + 1) * PAGE, (GAP - 1) * PAGE, MADV_DONTNEED));
	set_area(AREA, PAGES, GAP * PAGE);
	for (size_t i = 0; i < PAGES; i++)
		pfns[i] = PM_PFN(page_entry(i));
	TRY(munmap(ELSEWHERE, 64 * MIB));
}

static void compact(void)
{
	size_t moved_pages = 0;

	put_file("/proc/sys/vm/compact_memory", "1");
	for (size_t i = 0; i < PAGES; i++)
		moved_pages += PM_PFN(page_entry(i)) != pfns[i];
	if (!moved_pages)
		die("no page was moved");
}

/* hugetlb: 2M pages, two of them. */
static void hugetlb(void)
{
	map_at(AREA, 2 * PMD, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1);
	set_area(AREA, PAGES, 2 * PMD / PAGES);
}

static void prepare_hugetlb_fork(void)
{
	hugetlb();
	make_pipes();
}

static void prepare_hugetlb_child(void)
{
	prepare_hugetlb_fork();
	become_child();
}

static void prepare_hugetlb_protect(void)
{
	hugetlb();
	harmless = true;
}

static void protect_hugetlb(void)
{
	TRY(mprotect(AREA, 2 * PMD, PROT_READ));
}

/* One of 1G; there is no other for a copy. */
static void hugetlb_1g(void)
{
	map_at(AREA, PUD, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | MAP_HUGE_1GB, -1);
	set_area(AREA, PAGES, PUD / PAGES);
}

static void unmap_pud(void)
{
	TRY(munmap(AREA, PUD));
}

/* A page table that another process has, too: here it is unlinked, and lives on there. */
static void shared_tables(void)
{
	file = TRY(memfd_create("hardware", MFD_CLOEXEC | MFD_HUGETLB));
	TRY(ftruncate(file, PUD));
	map_at(AREA, PUD, MAP_SHARED | MAP_NORESERVE, file);
	set_area(AREA, PAGES, 2 * PMD / PAGES);
	make_pipes();
	fork_witness();
	/* It has them once it looked at the pages. */
	check_witness();
	harmless = true;
}

static void protect_shared_tables(void)
{
	TRY(mprotect(AREA, PUD, PROT_READ));
}

/* Processes that end while a loop of the device runs. */

/* The file of another process: it does not end with that one. */
static int take_file(pid_t pid, int fd)
{
	int pidfd = TRY(syscall(SYS_pidfd_open, pid, 0));
	int mine = TRY(syscall(SYS_pidfd_getfd, pidfd, fd, 0));

	close(pidfd);
	return mine;
}

/* The loop has to go on, but without an access. */
static void check_stopped(int fd)
{
	struct sva_counters a, b;

	a = counters(fd);
	pause_ms(20);
	b = counters(fd);
	if (b.accesses != a.accesses)
		stale("%llu accesses after the end", b.accesses - a.accesses);
	if (b.status == SVA_BUSY && b.faults == a.faults && b.accesses == a.accesses)
		die("the loop stands still");
}

enum end { END_EXIT, END_EXEC, END_KILL };

static void end_running(enum end how)
{
	char number[16], *const idle[] = { "/proc/self/exe", number, "idle", NULL };
	int ready[2], go[2], fd, mine, status;
	char c;
	pid_t pid;

	TRY(pipe(ready));
	TRY(pipe(go));
	pid = TRY(fork());
	if (!pid) {
		anonymous();
		fd = open_device(0);
		device_fill(fd, access_flags(), &area);
		start_loop(fd, access_flags() & ~SVA_PRI, &area);
		TRY(write(ready[1], &fd, sizeof(fd)));
		TRY(read(go[0], &c, 1));
		if (how == END_EXIT)
			_exit(0);
		if (how == END_EXEC) {
			snprintf(number, sizeof(number), "%d", ready[1]);
			TRY(execv(idle[0], idle));
		}
		for (;;)
			pause();
	}

	TRY(close(ready[1]));
	if (read(ready[0], &fd, sizeof(fd)) != sizeof(fd))
		die("the process ended");
	mine = take_file(pid, fd);
	pause_ms(5);
	if (!counters(mine).accesses)
		die("the loop did not begin");
	if (how == END_KILL)
		TRY(kill(pid, SIGKILL));
	else
		TRY(write(go[1], "", 1));
	if (how == END_EXEC) {
		/* The new program says that it runs: the old memory is gone by then. */
		if (read(ready[0], &c, 1) != 1)
			die("no other program came");
	} else {
		TRY(waitpid(pid, &status, 0));
	}
	check_stopped(mine);
	if (how == END_EXEC) {
		TRY(kill(pid, SIGKILL));
		TRY(waitpid(pid, &status, 0));
	}
	TRY(close(mine));
}

static void exit_running(void)
{
	end_running(END_EXIT);
}

static void exec_running(void)
{
	end_running(END_EXEC);
}

static void kill_running(void)
{
	end_running(END_KILL);
}

/* There is always a page request on its way when the process ends, and the file with it. */
static void exit_requesting(void)
{
	const struct area nowhere = { ELSEWHERE, PAGES, PAGE };
	int fd, status;
	pid_t pid;

	for (unsigned int i = 0; i < 10; i++) {
		pid = TRY(fork());
		if (!pid) {
			fd = open_device(0);
			start_loop(fd, access_flags() | SVA_PRI, &nowhere);
			pause_ms(5);
			if (!counters(fd).page_requests)
				die("no page was requested");
			_exit(0);
		}
		TRY(waitpid(pid, &status, 0));
		if (status)
			die("the process ended with %#x", status);
	}
}

/*
 * The memory of a process ends while another unbinds its device, which only the files
 * of both have in common: one tears down the PASID while the other is at it.
 */
static void exit_unbinding(void)
{
	const struct area nowhere = { ELSEWHERE, PAGES, PAGE };
	int *shared = mmap(NULL, PAGE, ALL, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int fd, status;
	pid_t pid;

	if (shared == MAP_FAILED)
		die("mmap: %m");
	for (unsigned int i = 0; i < 200; i++) {
		__atomic_store_n(shared, -1, __ATOMIC_RELAXED);
		pid = TRY(syscall(SYS_clone, CLONE_FILES | SIGCHLD, 0, 0, 0, 0));
		if (!pid) {
			fd = open_device(0);
			start_loop(fd, access_flags() | SVA_PRI, &nowhere);
			pause_ms(1);
			__atomic_store_n(shared, fd, __ATOMIC_RELEASE);
			_exit(0);
		}
		do {
			fd = __atomic_load_n(shared, __ATOMIC_ACQUIRE);
		} while (fd < 0);
		/* Exit takes its time until it comes to the memory. */
		for (unsigned int spin = 0; spin < i * 1000; spin++)
			__asm__ volatile("pause");
		TRY(ioctl(fd, SVA_UNBIND));
		TRY(close(fd));
		TRY(waitpid(pid, &status, 0));
		if (status)
			die("the process ended with %#x", status);
	}
	TRY(munmap(shared, PAGE));
}

static void unbind_running(void)
{
	int fd;

	anonymous();
	fd = open_device(0);
	device_fill(fd, access_flags(), &area);
	start_loop(fd, access_flags() & ~SVA_PRI, &area);
	pause_ms(5);
	if (!counters(fd).accesses)
		die("the loop did not begin");
	TRY(ioctl(fd, SVA_UNBIND));
	check_stopped(fd);
	TRY(close(fd));
}

/*
 * The next process has the PASID of one whose file is still there, and so whatever the
 * device kept for it. The PASID is free when the old address space is; a CPU may still
 * have that for a while, so it may take some processes until one gets it. Lower ones
 * that are free are given out first: whoever gets one of these keeps it meanwhile.
 */
static void reuse_pasid(void)
{
	int ready[2], fd, mine, status, nr = 0;
	__u64 old, pasid = 0;
	pid_t pid, lower[8];

	TRY(pipe(ready));
	pid = TRY(fork());
	if (!pid) {
		anonymous();
		write_pages(&area, 0xbad000);
		fd = open_device(0);
		device_fill(fd, access_flags(), &area);
		TRY(write(ready[1], &fd, sizeof(fd)));
		for (;;)
			pause();
	}
	if (read(ready[0], &fd, sizeof(fd)) != sizeof(fd))
		die("the process ended");
	mine = take_file(pid, fd);
	old = counters(mine).pasid;
	TRY(ioctl(mine, SVA_UNBIND));
	TRY(kill(pid, SIGKILL));
	TRY(waitpid(pid, &status, 0));

	for (int tries = 0; tries < 600 && pasid != old; tries++) {
		pid = TRY(fork());
		if (!pid) {
			anonymous();
			fd = open_device(0);
			pasid = counters(fd).pasid;
			TRY(write(ready[1], &pasid, sizeof(pasid)));
			while (pasid != old)
				pause();
			check_pages(fd, &area);
			_exit(0);
		}
		if (read(ready[0], &pasid, sizeof(pasid)) != sizeof(pasid))
			die("the process ended");
		if (pasid < old) {
			if (nr == (int)ARRAY_SIZE(lower))
				die("%d processes have a PASID below %llu", nr, old);
			lower[nr++] = pid;
			continue;
		}
		if (pasid > old) {
			TRY(kill(pid, SIGKILL));
			pause_ms(50);
		}
		TRY(waitpid(pid, &status, 0));
	}
	while (nr--) {
		int ended;

		TRY(kill(lower[nr], SIGKILL));
		TRY(waitpid(lower[nr], &ended, 0));
	}
	if (pasid != old)
		die("no process got PASID %llu again", old);
	if (status)
		die("the process with PASID %llu ended with %#x", old, status);
	TRY(close(mine));
}

/* What one process unmaps, another still has at the same address. */
static void two_processes(void)
{
	int fd, status;
	pid_t pid;
	char c;

	make_pipes();
	anonymous();
	pid = TRY(fork());
	if (!pid) {
		/* Pages of its own, and a PASID. */
		write_pages(&area, 0x2000);
		fd = open_device(0);
		device_fill(fd, access_flags(), &area);
		TRY(write(answer[1], "", 1));
		TRY(read(ask[0], &c, 1));
		for (size_t i = 0; i < area.count; i++) {
			__u64 data;

			if (!device_read(fd, access_flags(), area.start + i * PAGE, &data) ||
			    data != 0x2000 + i)
				stale("page %zu of the other process: %#llx", i, data);
		}
		check_pages(fd, &area);
		_exit(0);
	}
	fd = open_device(0);
	write_pages(&area, 0x3000);
	device_fill(fd, access_flags(), &area);
	TRY(read(answer[0], &c, 1));
	unmap_range();
	check_pages(fd, &area);
	TRY(write(ask[1], "", 1));
	TRY(waitpid(pid, &status, 0));
	TRY(close(fd));
}

static void two_devices(void)
{
	int fd[2];

	anonymous();
	for (int i = 0; i < 2; i++) {
		fd[i] = open_device(i);
		device_fill(fd[i], access_flags(), &area);
	}
	unmap_hole();
	for (int i = 0; i < 2; i++) {
		check_pages(fd[i], &area);
		TRY(close(fd[i]));
	}
}

/* What the process itself cannot access. */
static void bad_accesses(void)
{
	static const __u64 bad[] = {
		0, 0x7fffffff000,			/* nothing there */
		0x7ffffffff000, 0x800000000000,		/* the end, and beyond */
		0xffff888000100000, 0xffffffff81000000,	/* the kernel's */
		0xfffffffffffff000, 0xfee00000,
	};
	__u64 data;
	int fd;

	map_at(AREA, PAGE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	set_area(AREA, 1, PAGE);
	TRY(mprotect(AREA, PAGE, PROT_READ));
	fd = open_device(0);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		if (device_read(fd, access_flags(), (void *)(uintptr_t)bad[i], &data))
			stale("%#llx was read", bad[i]);
		if (device_write(fd, access_flags(), (void *)(uintptr_t)bad[i], 0))
			stale("%#llx was written", bad[i]);
	}
	check_pages(fd, &area);
	TRY(close(fd));
}

/*
 * The IOMMU walks page tables of the kernel, too, even if these are not for it. Once they
 * are freed it must not, or it sets accessed flags in what is there then.
 */
static void kernel_tables(void)
{
	__u64 addr, changed, data;
	int fd;

	fd = open_device(0);
	TRY(ioctl(fd, SVA_KERNEL_MAP, &addr));
	if (device_read(fd, access_flags(), (void *)(uintptr_t)addr, &data))
		stale("%#llx of the kernel was read", addr);
	TRY(ioctl(fd, SVA_KERNEL_FREE));
	if (device_read(fd, access_flags(), (void *)(uintptr_t)addr, &data))
		stale("%#llx of the kernel was read", addr);
	TRY(ioctl(fd, SVA_KERNEL_DONE, &changed));
	if (changed)
		stale("a freed page table of the kernel was walked");
	TRY(close(fd));
}

const struct op ops[] = {
	{ "munmap, a page", PAGE, one_page, unmap_page },
	{ "munmap, a range", SIZE, anonymous, unmap_range },
	{ "munmap, a hole", SIZE / 2, anonymous, unmap_hole },
	{ "munmap, an odd number", SIZE / 2 + PAGE, anonymous, unmap_odd },
	{ "munmap, across 2^46", 2 * PAGE, two_sides, unmap_two_sides },
	{ "munmap, page tables", 16 * PMD, sparse, unmap_sparse },
	{ "munmap, tables reused", 16 * PMD, sparse, unmap_and_reuse },
	{ "mmap over it", SIZE, anonymous, map_over },
	{ "mprotect, read only", SIZE, prepare_protect, protect_read },
	{ "mprotect, none", SIZE, anonymous, protect_none },
	{ "MADV_DONTNEED", SIZE, anonymous, dontneed },
	{ "MADV_FREE, reclaim", SIZE, anonymous, lazy_free },
	{ "MADV_PAGEOUT", SIZE, anonymous, page_out },
	{ "soft-dirty reset", SIZE, prepare_protect, clear_soft_dirty, check_soft_dirty },
	{ "KSM", SIZE, same_content, merge_pages },
	{ "userfaultfd, protect", SIZE, prepare_uffd_protect, uffd_protect },
	{ "userfaultfd, move", SIZE, prepare_uffd_pages, uffd_move_pages, check_moved },
	{ "fork", SIZE, prepare_fork, fork_only, check_witness },
	{ "fork, write", SIZE, prepare_fork, fork_and_write, check_witness },
	{ "write in the child", SIZE / 2, prepare_child, write_half, check_witness },
	{ "mremap", SIZE, anonymous, move_pages_away, check_moved },
	{ "mremap, page tables", 2 * PMD, whole_tables, move_tables },
	{ "truncate", SIZE / 2, shared_file, truncate_file },
	{ "punch a hole", SIZE / 2, shared_file, punch_hole },
	{ "huge page, munmap", 2 * PMD, huge, huge_unmap },
	{ "huge page, mprotect half", PMD / 2, huge, huge_protect_part },
	{ "huge page, half gone", PMD / 2, huge, huge_dontneed_part },
	{ "huge page, collapse", 2 * PMD, not_huge, collapse },
	{ "huge page, uffd move", 2 * PMD, prepare_uffd_huge, uffd_move_huge, check_moved },
	{ "migration", SIZE, anonymous, migrate },
	{ "compaction", SIZE, scattered, compact },
	{ "huge page, migration", 2 * PMD, huge, migrate },
	{ "hugetlb, munmap", 2 * PMD, hugetlb, huge_unmap },
	{ "hugetlb, mprotect", 2 * PMD, prepare_hugetlb_protect, protect_hugetlb },
	{ "hugetlb, migration", 2 * PMD, hugetlb, migrate },
	{ "hugetlb, shared, mprotect", PUD, shared_tables, protect_shared_tables, check_witness },
	{ "hugetlb, shared, munmap", PUD, shared_tables, unmap_pud, check_witness },
	{ "hugetlb, fork, write", 2 * PMD, prepare_hugetlb_fork, fork_and_write,
	  check_witness },
	{ "hugetlb, write in child", PMD, prepare_hugetlb_child, write_half,
	  check_witness },
	{ "hugetlb 1G, munmap", PUD, hugetlb_1g, unmap_pud },
	{ "exit, DMA running", SIZE, .run = exit_running },
	{ "exec, DMA running", SIZE, .run = exec_running },
	{ "SIGKILL, DMA running", SIZE, .run = kill_running },
	{ "exit, requests running", 0, .run = exit_requesting, .alone = true },
	{ "exit, requests and unbind", 0, .run = exit_unbinding, .alone = true },
	{ "unbind, DMA running", SIZE, .run = unbind_running },
	{ "PASID of another before", SIZE, .run = reuse_pasid },
	{ "two processes, a device", SIZE, .run = two_processes },
	{ "a process, two devices", SIZE / 2, .run = two_devices },
	{ "kernel page tables", 0, .run = kernel_tables },
	{ "bad addresses", 0, .run = bad_accesses },
};

const size_t nr_ops = ARRAY_SIZE(ops);
