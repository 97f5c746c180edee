// SPDX-License-Identifier: GPL-2.0
/* The kernel's settings: everything that makes mm busy, on. */
#include <sys/stat.h>
#include <sys/mount.h>
#include <sys/swap.h>

#include "stress.h"

#define THP	"/sys/kernel/mm/transparent_hugepage/"
#define KSM	"/sys/kernel/mm/ksm/"
#define CGROUP	"/tmp/cgroup/"

int files[NR_FILES] = { -1, -1, -1 }, huge_file = -1;
unsigned int nr_nodes;

static const struct {
	const char *path, *text;
} settings[] = {
	{ THP "enabled", "madvise" },
	{ THP "shmem_enabled", "always" },
	{ THP "hugepages-16kB/enabled", "inherit" },
	{ THP "hugepages-64kB/enabled", "inherit" },
	{ THP "hugepages-512kB/enabled", "inherit" },
	{ THP "khugepaged/scan_sleep_millisecs", "100" },
	{ THP "khugepaged/alloc_sleep_millisecs", "100" },
	{ KSM "pages_to_scan", "500" },
	{ KSM "sleep_millisecs", "50" },
	{ KSM "run", "1" },
	{ "/proc/sys/vm/nr_hugepages", "4" },
	/* These are freed when they are not used any more. */
	{ "/proc/sys/vm/nr_overcommit_hugepages", "16" },
	{ "/proc/sys/vm/overcommit_memory", "1" },
	{ "/proc/sys/vm/panic_on_oom", "0" },
	{ "/proc/sys/kernel/numa_balancing", "1" },
	{ "/sys/kernel/debug/sched/numa_balancing/scan_delay_ms", "10" },
	{ "/sys/kernel/debug/sched/numa_balancing/scan_period_min_ms", "50" },
};

/* One in about 150, for tasks that ask for it. */
static const char * const faults[] = { "failslab", "fail_page_alloc" };
static const char * const fault_settings[][2] = {
	{ "task-filter", "Y" },
	{ "verbose", "0" },
	{ "interval", "37" },
	{ "probability", "25" },
	{ "times", "-1" },
};

/* What the kernel has not is not there; the table of operations tells. */
static void change(const char *path, const char *text)
{
	if (!write_file(path, text))
		say("note: %s is not set: %s", path, strerror(errno));
}

static void set_faults(void)
{
	char path[128];

	for (size_t i = 0; i < ARRAY_SIZE(faults); i++) {
		for (size_t j = 0; j < ARRAY_SIZE(fault_settings); j++) {
			snprintf(path, sizeof(path), "/sys/kernel/debug/%s/%s",
				 faults[i], fault_settings[j][0]);
			change(path, fault_settings[j][1]);
		}
		snprintf(path, sizeof(path),
			 "/sys/kernel/debug/%s/ignore-gfp-wait", faults[i]);
		change(path, "N");
	}
	change("/sys/kernel/debug/fail_page_alloc/min-order", "0");
}

/* A header of a swap area, as mkswap writes it. */
static bool make_swap(const char *path, size_t size)
{
	union {
		char bytes[1 << 16];
		__u32 words[(1 << 16) / 4];
	} *head = calloc(1, sizeof(*head));
	bool ok = false;
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	head->words[256] = 1;				/* version */
	head->words[257] = size / page_size - 1;	/* last page */
	memcpy(head->bytes + page_size - 10, "SWAPSPACE2", 10);
	if (fd >= 0) {
		ok = write(fd, head, page_size) == (ssize_t)page_size;
		fsync(fd);
		close(fd);
	}
	free(head);
	return ok;
}

static void set_up_swap(void)
{
	const size_t size = 192ul << 20;

	change("/sys/block/zram0/comp_algorithm", "lzo");
	change("/sys/block/zram0/disksize", "192M");
	if (!make_swap("/dev/zram0", size) || swapon("/dev/zram0", 0))
		fail("swapon: %s", strerror(errno));
}

/* All processes but this one share what is less than they want. */
static void set_up_cgroups(void)
{
	char limit[32];

	mkdir(CGROUP, 0755);
	if (mount("cgroup2", CGROUP, "cgroup2", 0, NULL)) {
		say("note: no cgroups: %s", strerror(errno));
		return;
	}
	change(CGROUP "cgroup.subtree_control", "+memory");
	mkdir(CGROUP "busy", 0755);
	mkdir(CGROUP "eater", 0755);
	snprintf(limit, sizeof(limit), "%ldK", meminfo_kb("MemTotal") / 5);
	change(CGROUP "busy/memory.max", limit);
	change(CGROUP "eater/memory.max", "24M");
	change(CGROUP "eater/memory.swap.max", "8M");
}

void enter_cgroup(const char *name)
{
	char path[64];

	snprintf(path, sizeof(path), CGROUP "%s/cgroup.procs", name);
	write_file(path, "0");
}

static void open_files(void)
{
	files[FILE_MEMFD] = memfd_create("memfd", MFD_CLOEXEC);
	mkdir("/tmp/huge", 0755);
	mount("tmpfs", "/tmp/huge", "tmpfs", 0, "huge=always");
	files[FILE_TMPFS] = open("/tmp/huge", O_TMPFILE | O_RDWR | O_CLOEXEC,
				 0600);
	files[FILE_DISK] = open("/dev/ram0", O_RDWR | O_CLOEXEC);
	huge_file = memfd_create("hugetlb", MFD_CLOEXEC | MFD_HUGETLB);
	for (int i = 0; i < NR_FILES; i++) {
		if (files[i] < 0)
			fail("no file %d: %s", i, strerror(errno));
		else if (i != FILE_DISK && ftruncate(files[i], FILE_SIZE))
			fail("file %d: %s", i, strerror(errno));
	}
	if (huge_file < 0 || ftruncate(huge_file, 4 * huge_size))
		fail("hugetlb: %s", strerror(errno));
}

void set_up(void)
{
	mount("debugfs", "/sys/kernel/debug", "debugfs", 0, NULL);
	for (size_t i = 0; i < ARRAY_SIZE(settings); i++)
		change(settings[i].path, settings[i].text);
	while (nr_nodes < 8) {
		char path[64];

		snprintf(path, sizeof(path),
			 "/sys/devices/system/node/node%u", nr_nodes);
		if (access(path, F_OK))
			break;
		nr_nodes++;
	}
	set_faults();
	set_up_swap();
	set_up_cgroups();
	open_files();
}
