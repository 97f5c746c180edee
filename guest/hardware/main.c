// SPDX-License-Identifier: GPL-2.0
/*
 * What devices that share the page tables of a process still access after it changed them,
 * and what the IOMMU and they were told. As /init, with "controls", or another name, as
 * "series", behind "--" on the kernel's command line. The last line of the report is
 *
 *   series: N operations, M stale
 *   controls: N, M caught
 *
 * "mutant" ends with the first operation that has something stale.
 */
#define _GNU_SOURCE
#include <fnmatch.h>
#include <sched.h>
#include <sys/uio.h>
#include <time.h>

#include "hardware.h"

#define CONTROL		"/sys/module/svm/parameters/control"

FILE *report;
const char *scenario = "set-up";

enum pass pass;
struct area area;
struct result *result;
bool fill_reads, only_read, harmless, write_protected;
int device = -1;

const char * const pass_names[] = { "atc", "iotlb", "loop", "pri" };

static struct area rest[2];

void pause_ms(unsigned int ms)
{
	struct timespec t = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 };

	while (nanosleep(&t, &t) && errno == EINTR)
		;
}

void put_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);

	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		die("write to %s: %s", path, strerror(errno));
	close(fd);
}

/* Without a signal where there is nothing. */
bool cpu_read(const void *addr, __u64 *data)
{
	struct iovec to = { data, sizeof(*data) };
	struct iovec from = { (void *)addr, sizeof(*data) };

	return process_vm_readv(getpid(), &to, 1, &from, 1, 0) == sizeof(*data);
}

/* What must not be lost when something else changes. */
static void fill_rest(void)
{
	rest[0] = (struct area) { NEAR, REST_PAGES / 2, PAGE };
	rest[1] = (struct area) { FAR, REST_PAGES / 2, 64 * MIB };
	TRY(mmap(NEAR, REST_PAGES / 2 * PAGE, ALL,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_POPULATE, -1, 0));
	for (size_t i = 0; i < rest[1].count; i++)
		TRY(mmap(FAR + i * rest[1].stride, PAGE, ALL,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_POPULATE, -1, 0));
	for (size_t i = 0; i < ARRAY_SIZE(rest); i++)
		device_fill(device, SVA_ATC, &rest[i]);
}

static void subject(const struct op *op)
{
	int loop = -1;

	if (op->run) {
		op->run();
		goto out;
	}

	op->prepare();
	device = open_device(0);
	fill_rest();
	if (fill_reads)
		device_read_all(device, access_flags(), &area);
	else
		device_fill(device, access_flags(), &area);
	if (pass == PASS_LOOP) {
		loop = open_device(0);
		start_loop(loop, access_flags(), &area);
	}

	measure_start(device);
	op->change();
	measure_end(device);
	for (size_t i = 0; i < ARRAY_SIZE(rest); i++)
		result->lost += rest[i].count - probe(device, &rest[i]);

	/* Whatever the loop read since, it has to be right. */
	if (loop >= 0)
		stop_loop(loop);
	check_pages(device, &area);
	if (op->check)
		op->check();
out:
	result->done = true;
	fflush(report);
	_exit(0);
}

/* Whether the kernel's command line selects it: HARDWARE_OPERATIONS=GLOB. */
static bool selected(const struct op *op)
{
	const char *glob = getenv("HARDWARE_OPERATIONS");

	return glob ? !fnmatch(glob, op->name, 0) : !op->alone;
}

static void run_pass(const struct op *op, enum pass p, struct result *r)
{
	int status;
	pid_t pid;

	memset(r, 0, sizeof(*r));
	pass = p;
	result = r;
	scenario = op->name;
	fflush(report);
	pid = TRY(fork());
	if (!pid)
		subject(op);
	TRY(waitpid(pid, &status, 0));
	if (!r->done)
		die("%s: the process ended with %#x", pass_names[p], status);
	scenario = "in between";
}

static const char *bytes(__u64 n)
{
	static char text[8][32];
	static unsigned int next;
	char *t = text[next++ % ARRAY_SIZE(text)];
	int unit = 0;

	while (n >= 1024 && unit < 5) {
		n /= 1024;
		unit++;
	}
	snprintf(t, sizeof(*text), "%llu%.1s", n, "\0KMGTP" + unit);
	return t;
}

static void show(const struct op *op, const struct result *r)
{
	const struct result *m = &r[PASS_ATC];
	const unsigned int all = m->iommu_full, atc_all = m->atc_full;

	fprintf(report, "%-26s %7s |", op->name, op->changed ? bytes(op->changed) : "-");
	if (op->run)
		fprintf(report, "%27s |%35s |", "", "");
	else
		fprintf(report, " %5u %9s%-6s %4u | %5u %9s%-6s %5llu %2lu/%lu |",
			m->iommu_calls, bytes(m->iommu_bytes),
			all ? "+all" : "", m->iommu_ih,
			m->atc_calls, bytes(m->atc_bytes),
			atc_all ? "+all" : "", m->dropped,
			REST_PAGES - m->lost, REST_PAGES);
	for (size_t p = 0; p < NR_PASSES; p++)
		fprintf(report, " %5u", r[p].stale);
	fputc('\n', report);
	for (size_t p = 0; p < NR_PASSES; p++) {
		if (r[p].stale)
			fprintf(report, "  stale, %s: %s\n", pass_names[p], r[p].why);
		if (r[p].refused)
			fprintf(report, "  refused, %s: %u accesses\n", pass_names[p],
				r[p].refused);
	}
}

static void run_operations(struct result *results, const char *which)
{
	unsigned int nr = 0, sum = 0, refused = 0;

	fprintf(report,
		"What was told when an operation changed page tables: the IOMMU's own caches, and\n"
		"the device's ATC. Then the accesses that are stale, by devices of four kinds:\n"
		"  IH       invalidations that leave page table pointers alone\n"
		"  kept     of translations that did not change\n"
		"  atc      translations are kept at the size that ATS gives\n"
		"  iotlb    no translation is kept\n"
		"  loop     4K of a translation are kept; a loop of reads runs meanwhile\n"
		"  pri      as atc, but pages are requested\n\n");
	fprintf(report, "%-26s %7s | %-26s | %-34s | %s\n", "", "", "IOMMU", "ATC", "stale");
	fprintf(report, "%-26s %7s | %5s %9s%-6s %4s | %5s %9s%-6s %5s %5s |", "operation",
		"changed", "calls", "bytes", "", "IH", "calls", "bytes", "", "drops",
		"kept");
	for (size_t p = 0; p < NR_PASSES; p++)
		fprintf(report, " %5s", pass_names[p]);
	fputc('\n', report);

	for (size_t i = 0; i < nr_ops; i++) {
		if (!selected(&ops[i]))
			continue;
		nr++;
		for (size_t p = 0; p < NR_PASSES; p++) {
			run_pass(&ops[i], p, &results[p]);
			sum += results[p].stale;
			refused += results[p].refused;
		}
		show(&ops[i], results);
		if (sum && !strcmp(which, "mutant"))
			break;
	}
	if (refused)
		die("%u accesses were refused that page requests should allow", refused);
	fprintf(report, "\n%s: %u operations, %u stale\n", which, nr, sum);
}

/* The bugs of hardware/VERSION/controls.patch, and what shows each. */
static const struct control {
	const char *name;
	bool precision;		/* only too much is invalidated */
} controls[] = {
	{ "no callback" },
	{ "release() does nothing" },
	{ "nothing for the IOTLB" },
	{ "nothing for the device TLB" },
	{ "IH=1 always" },
	{ "a range is a page short" },
	{ "a range is never split", true },
	{ "device TLB before IOTLB" },
};

/* What the bug of that number costs in one pass of an operation. */
static unsigned int try_control(size_t c, const struct op *op, enum pass p,
				struct result *r)
{
	unsigned int without = 0;
	char number[16];

	if (controls[c].precision) {
		run_pass(op, p, r);
		without = r->lost;
	}
	snprintf(number, sizeof(number), "%zu", c + 1);
	put_file(CONTROL, number);
	run_pass(op, p, r);
	put_file(CONTROL, "0");
	if (!controls[c].precision)
		return r->stale;
	return r->lost > without ? r->lost - without : 0;
}

static void run_controls(struct result *results)
{
	unsigned int caught = 0;

	fprintf(report, "Bugs of the driver, which have to be noticed: stale accesses by each,\n"
		"or translations lost that did not change\n\n");
	only_read = true;
	for (size_t c = 0; c < ARRAY_SIZE(controls); c++) {
		unsigned int sum = 0, nr = 0;
		const char *first = "";

		for (size_t i = 0; i < nr_ops; i++) {
			unsigned int here = 0;

			if (!selected(&ops[i]))
				continue;
			for (size_t p = 0; p < PASS_PRI; p++)
				here += try_control(c, &ops[i], p, &results[p]);
			if (here && !nr++)
				first = ops[i].name;
			sum += here;
		}
		fprintf(report, "%-28s %6u in %3u operations%s%s\n", controls[c].name, sum, nr,
			nr ? ", first in " : "", first);
		caught += !!nr;
	}
	fprintf(report, "controls: %zu, %u caught\n", ARRAY_SIZE(controls), caught);
}

static void set_up(void)
{
	put_file("/sys/kernel/mm/transparent_hugepage/enabled", "madvise");
	put_file("/sys/kernel/mm/transparent_hugepage/khugepaged/scan_sleep_millisecs",
		 "1000000");
	put_file("/proc/sys/vm/nr_hugepages", "16");
	put_file(KSM "pages_to_scan", "1000");
	put_file(KSM "sleep_millisecs", "1");
	put_file("/proc/sys/kernel/numa_balancing", "0");
	put_file("/proc/sys/vm/overcommit_memory", "1");
	put_file("/sys/block/zram0/disksize", "128M");
	add_swap("/dev/zram0");
}

int main(int argc, char **argv)
{
	const char *which = argc > 1 ? argv[argc - 1] : "series";
	struct result *results;

	/* What exec() starts in an operation. */
	if (getpid() != 1 && !strcmp(which, "idle"))
		for (TRY(write(atoi(argv[1]), "", 1));;)
			pause();

	start_report();
	setvbuf(report, NULL, _IOLBF, 0);
	set_up();
	results = (void *)TRY(mmap(NULL, NR_PASSES * sizeof(*results), ALL,
			   MAP_SHARED | MAP_ANONYMOUS, -1, 0));
	if (!strcmp(which, "controls"))
		run_controls(results);
	else
		run_operations(results, which);
	quit(0);
}
