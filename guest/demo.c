// SPDX-License-Identifier: GPL-2.0
/*
 * Show that a secondary TLB stays coherent with what a program does to its
 * memory, and that one that has nothing but invalidate_range_start() and
 * invalidate_range_end() does not.
 *
 *	demo [deaf]
 *
 * The program attaches three software devices (/dev/mmu_notifier_test, see
 * lib/test_mmu_notifier_uapi.h in the kernel tree) to its own address space:
 *
 *   device   acts on invalidate_range(), and must not suffer
 *   control  acts on invalidate_range_start() and _end() only
 *   deaf     is told nothing but the end of the address space, and so shows
 *            that a scenario has something to suffer from
 *
 * They never stop to access the memory that a scenario changes. A stale use is
 * a page or page table that was freed while the device could still reach it, or
 * an entry that differs from the page table when the system call is over.
 *
 * With the argument "deaf" the first one is deaf too, which has to fail. To
 * give it to /init, put it behind "--" on the kernel's command line.
 *
 * It runs as root on a kernel with CONFIG_TEST_MMU_NOTIFIER, or as /init: then
 * it mounts what it needs, writes its report to the second serial port if there
 * is one, and restarts the machine at the end, on which qemu -no-reboot exits.
 * The last line of the report is the verdict, and as a program it exits with an
 * error on a stale use or if the control was not caught:
 *
 *	run: N scenarios, 0 stale uses, control caught M
 *
 * Build: gcc -static -O2 -I <kernel tree>/lib
 */
#define _GNU_SOURCE
#define __SANE_USERSPACE_TYPES__	/* __u64 is long long everywhere */
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/utsname.h>
#include <sys/wait.h>

#include "guest.h"
#include "timeline.h"
#include "test_mmu_notifier_uapi.h"

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE	25
#endif

/* Nothing else is near, so that page tables are freed with the memory. */
#define ARENA		((char *)0x1000000000)
#define ARENA_SIZE	(16ul << 20)
#define SMALL		(64 * page)

enum { DEVICE, CONTROL, DEAF, NR_DEVS };

static struct dev {
	__u32 mode;
	int fd;
	struct stlb_counters before, after;
	__u64 differ;	/* entries that differ from the page table at the end */
	__u64 late;	/* that did so when invalidate_range_end() was called */
} devs[NR_DEVS] = {
	{ .mode = STLB_MODE_INVALIDATE_RANGE | STLB_MODE_START_END, .fd = -1 },
	{ .mode = STLB_MODE_START_END, .fd = -1 },
	{ .mode = 0, .fd = -1 },
};

FILE *report;
const char *scenario = "set-up";

static size_t page, huge;
static pid_t child;
static int file = -1;

/* The devices. */

static void open_devices(void)
{
	for (int i = 0; i < NR_DEVS; i++) {
		if (devs[i].fd >= 0)
			TRY(close(devs[i].fd));
		devs[i].fd = TRY(open("/dev/mmu_notifier_test", O_RDWR));
	}
}

static void attach_devices(void)
{
	for (int i = 0; i < NR_DEVS; i++) {
		struct stlb_attach attach = { devs[i].mode, .entries = 16384 };

		TRY(ioctl(devs[i].fd, STLB_ATTACH, &attach));
	}
}

/*
 * Let the devices access the first bytes of the arena, and never stop. What
 * waits in a batch of the LRU is freed later than it seems, so settle first.
 */
static void heat(size_t len)
{
	struct stlb_range range = { .start = (uintptr_t)ARENA, .len = len };

	TRY(ioctl(devs[DEVICE].fd, STLB_SETTLE));
	for (int i = 0; i < NR_DEVS; i++) {
		TRY(ioctl(devs[i].fd, STLB_RESET));
		TRY(ioctl(devs[i].fd, STLB_HOT, &range));
		if (!range.cached)
			die("STLB_HOT: the device sees no memory");
	}
}

static void read_counters(bool after)
{
	for (struct dev *dev = devs; dev < devs + NR_DEVS; dev++)
		TRY(ioctl(dev->fd, STLB_READ, after ? &dev->after : &dev->before));
}

/* What was late, and the first of what was stale, if it must not be. */
static void read_events(struct dev *dev)
{
	struct stlb_event event;
	int told = 0;

	dev->late = 0;
	while (TRY(read(dev->fd, &event, sizeof(event)))) {
		if (event.type == STLB_EVENT_END)
			dev->late += event.differ;
		if (event.type == STLB_EVENT_STALE && dev == &devs[DEVICE] &&
		    ++told <= 2)
			fprintf(report, "  STALE: page%s %#llx freed, in use for %#llx-%#llx\n",
				event.flags & STLB_EVENT_TABLE ? " table" : "",
				event.pfn, event.start, event.end);
	}
}

static __u64 stale_uses(const struct dev *dev)
{
	return dev->after.stale + dev->after.table_stale + dev->differ;
}

/* The scenarios: what is mapped, and what is then done to it. */

static void map_fd(size_t len, int flags, int fd)
{
	TRY(mmap(ARENA, len, PROT_READ | PROT_WRITE, flags | MAP_FIXED, fd, 0));
	TRY(madvise(ARENA, len, MADV_NOHUGEPAGE));
	memset(ARENA, 1, len);
}

static void map(size_t len)
{
	map_fd(len, MAP_PRIVATE | MAP_ANONYMOUS, -1);
}

static void map_small(void)
{
	map(SMALL);
	heat(SMALL);
}

static void map_huge(void)
{
	TRY(mmap(ARENA, huge, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
	TRY(madvise(ARENA, huge, MADV_HUGEPAGE));
	memset(ARENA, 1, huge);
	heat(huge);
	read_counters(false);
	if (devs[DEVICE].before.cached != 1)
		die("the kernel gave no huge page");
}

static size_t do_munmap(void)
{
	TRY(munmap(ARENA, SMALL));
	return SMALL;
}

static size_t do_munmap_hole(void)
{
	TRY(munmap(ARENA + SMALL / 4, SMALL / 2));
	return SMALL / 2;
}

static size_t do_mmap_over(void)
{
	TRY(mmap(ARENA, SMALL / 2, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
	return SMALL / 2;
}

static size_t do_dontneed(void)
{
	TRY(madvise(ARENA + SMALL / 4, SMALL / 2, MADV_DONTNEED));
	return SMALL / 2;
}

static size_t do_free(void)
{
	TRY(madvise(ARENA + SMALL / 4, SMALL / 2, MADV_FREE));
	return SMALL / 2;
}

static size_t do_mprotect(void)
{
	TRY(mprotect(ARENA + SMALL / 4, SMALL / 2, PROT_READ));
	return SMALL / 2;
}

/* fork() takes write permission away, and each write replaces a page. */
static size_t do_fork_write(void)
{
	pid_t pid = TRY(fork());

	while (!pid)
		pause();
	for (size_t i = 0; i < SMALL / 4; i += page)
		ARENA[i] = 2;
	TRY(kill(pid, SIGKILL));
	TRY(waitpid(pid, NULL, 0));
	return SMALL;
}

static void map_mremap(void)
{
	map(SMALL);
	heat(4 * SMALL);
}

static size_t do_mremap(void)
{
	TRY(mremap(ARENA, SMALL, SMALL, MREMAP_MAYMOVE | MREMAP_FIXED,
		   ARENA + 2 * SMALL));
	return SMALL;
}

static void map_mremap_table(void)
{
	map(huge);
	heat(2 * huge);
}

/* All that a page table maps moves, and the table with it. */
static size_t do_mremap_table(void)
{
	TRY(mremap(ARENA, huge, huge, MREMAP_MAYMOVE | MREMAP_FIXED,
		   ARENA + huge));
	return huge;
}

static void map_file(void)
{
	if (file >= 0)
		TRY(close(file));
	file = TRY(open(getpid() == 1 ? "/tmp" : "/dev/shm",
			O_TMPFILE | O_RDWR, 0600));
	TRY(ftruncate(file, SMALL));
	map_fd(SMALL, MAP_SHARED, file);
	heat(SMALL);
}

static size_t do_truncate(void)
{
	TRY(ftruncate(file, SMALL / 2));
	return SMALL / 2;
}

static size_t do_munmap_huge(void)
{
	TRY(munmap(ARENA, huge));
	return huge;
}

static size_t do_munmap_half(void)
{
	TRY(munmap(ARENA, huge / 2));
	return huge / 2;
}

static void map_collapse(void)
{
	map(huge);
	TRY(madvise(ARENA, huge, MADV_HUGEPAGE));
	heat(huge);
}

/* The pages are copied to a huge page, and their page table is taken away. */
static size_t do_collapse(void)
{
	TRY(madvise(ARENA, huge, MADV_COLLAPSE));
	return huge;
}

/* The devices walk the page tables of a child, and outlive them. */
static void map_exit(void)
{
	int status;

	open_devices();
	child = TRY(fork());
	if (!child) {
		attach_devices();
		map_small();
		TRY(raise(SIGSTOP));
		_exit(0);
	}
	TRY(waitpid(child, &status, WUNTRACED));
	if (!WIFSTOPPED(status))
		die("the child failed");
}

static size_t do_exit(void)
{
	int status;

	TRY(kill(child, SIGCONT));
	TRY(waitpid(child, &status, 0));
	if (status)
		die("the child failed with status %#x", status);
	return SMALL;
}

static const struct {
	const char *name;
	void (*map)(void);
	size_t (*change)(void);	/* returns the number of bytes */
} scenarios[] = {
	{ "munmap", map_small, do_munmap },
	{ "munmap, a hole", map_small, do_munmap_hole },
	{ "mmap over it", map_small, do_mmap_over },
	{ "MADV_DONTNEED", map_small, do_dontneed },
	{ "MADV_FREE", map_small, do_free },
	{ "mprotect, read only", map_small, do_mprotect },
	{ "fork and write", map_small, do_fork_write },
	{ "mremap", map_mremap, do_mremap },
	{ "mremap, page table", map_mremap_table, do_mremap_table },
	{ "truncate, tmpfs", map_file, do_truncate },
	{ "huge page, munmap", map_huge, do_munmap_huge },
	{ "huge page, half", map_huge, do_munmap_half },
	{ "huge page, collapse", map_collapse, do_collapse },
	{ "exit", map_exit, do_exit },	/* the last, it takes the devices */
};

/* One munmap(), as the kernel's trace events show it, and what a device had. */
static void show_timeline(int fd)
{
	struct stlb_range range = { .start = (uintptr_t)ARENA, .len = 2 * page };
	const __u64 end = range.start + range.len;
	bool traced;

	scenario = "timeline";
	map(range.len);
	heat(range.len);
	for (int i = 0; i < NR_DEVS; i++)
		TRY(ioctl(devs[i].fd, STLB_RESET));
	TRY(ioctl(fd, STLB_FILL, &range));
	traced = start_trace(range.start, end);
	TRY(munmap(ARENA, range.len));
	TRY(ioctl(fd, STLB_SETTLE));

	read_device(fd, range.start, end);
	if (!traced) {
		fputs("The kernel has no trace events for a timeline.\n", report);
		return;
	}
	read_trace();
	stop_trace();
	fputs("munmap() of two pages. The device has translations cached, which differ from the\n"
	      "page table once that is cleared:\n\n", report);
	print_lines();
}

/* The table. */

static const char *bytes(char *text, __u64 n)
{
	if (!n)
		sprintf(text, "0");
	else if (!(n & ((1 << 20) - 1)))
		sprintf(text, "%lluM", n >> 20);
	else
		sprintf(text, "%lluK", n >> 10);
	return text;
}

static __u64 kept(__u64 before, __u64 dropped)
{
	return before > dropped ? before - dropped : 0;
}

static void print_header(void)
{
	fputs("\n"
"The device acts on invalidate_range(), the control on invalidate_range_start()\n"
"and _end(), the deaf one on nothing. All of them access the memory all the time.\n"
"  invalidated  bytes, and calls for all of the address space\n"
"  LEAF         calls that leave page table pointers alone\n"
"  kept         translations + page table pointers that were not invalidated\n"
"  late         translations in use when _end() came that were wrong by then\n"
"  stale        pages and page tables freed while in use, and wrong entries after\n"
"               the system call\n\n"
"                              | device                                   | control     | deaf\n"
"scenario              changed | calls invalidated LEAF    kept late stale |  late stale | stale\n",
	      report);
}

static void print_row(size_t changed)
{
	const struct stlb_counters *a = &devs[DEVICE].after;
	const struct stlb_counters *b = &devs[DEVICE].before;
	char one[32], two[64], three[64];

	bytes(two, a->bytes);
	if (a->full_calls)
		sprintf(two + strlen(two), " + %llu all", a->full_calls);
	sprintf(three, "%llu+%llu", kept(b->cached, a->dropped),
		kept(b->table_cached, a->table_dropped));
	fprintf(report, "%-20s %8s | %5llu %11s %4llu %7s %4llu %5llu | %5llu %5llu | %5llu\n",
		scenario, bytes(one, changed), a->calls, two, a->leaf_calls,
		three, devs[DEVICE].late, stale_uses(&devs[DEVICE]),
		devs[CONTROL].late, stale_uses(&devs[CONTROL]),
		stale_uses(&devs[DEAF]));
	fflush(report);
}

static size_t huge_size(void)
{
	FILE *in = fopen("/sys/kernel/mm/transparent_hugepage/hpage_pmd_size", "r");
	size_t size;

	if (!in || fscanf(in, "%zu", &size) != 1)
		die("the kernel has no huge pages");
	fclose(in);
	return size;
}

int main(int argc, char **argv)
{
	const bool deaf = argc > 1 && !strcmp(argv[1], "deaf");
	__u64 stale = 0, caught = 0;
	struct utsname uts;
	size_t changed;

	start_report();
	if (deaf)
		devs[DEVICE].mode = 0;
	page = sysconf(_SC_PAGESIZE);
	huge = huge_size();
	TRY(uname(&uts));
	fprintf(report, "Linux %s %s%s\n\n", uts.release, uts.machine,
		deaf ? ", with a deaf device" : "");

	open_devices();
	attach_devices();
	show_timeline(devs[deaf ? CONTROL : DEVICE].fd);
	print_header();
	for (size_t i = 0; i < ARRAY_SIZE(scenarios); i++) {
		scenario = scenarios[i].name;
		scenarios[i].map();
		read_counters(false);
		changed = scenarios[i].change();

		TRY(ioctl(devs[DEVICE].fd, STLB_SETTLE));
		read_counters(true);
		for (int j = 0; j < NR_DEVS; j++) {
			TRY(ioctl(devs[j].fd, STLB_CHECK, &devs[j].differ));
			read_events(&devs[j]);
		}
		print_row(changed);
		stale += stale_uses(&devs[DEVICE]);
		caught += stale_uses(&devs[CONTROL]);
		/* What harms nobody shows nothing. All are told of the exit. */
		if (scenarios[i].change != do_exit && !stale_uses(&devs[DEAF]))
			die("even a deaf device does not suffer");
		TRY(munmap(ARENA, ARENA_SIZE));
	}
	/* The last was the exit, where the device has to have been told, too. */
	if (devs[DEVICE].after.freed < SMALL / page)
		die("the device saw %llu pages freed", devs[DEVICE].after.freed);

	fprintf(report, "\nrun: %zu scenarios, %llu stale uses, control caught %llu\n",
		ARRAY_SIZE(scenarios), stale, caught);
	quit(stale || !caught);
}
