// SPDX-License-Identifier: GPL-2.0
/*
 * The devices, and what is judged by them. Another device than QEMU's needs what is here
 * up to counters(), and its driver: an access of eight bytes, a loop of them, and where
 * it can, counters.
 */
#define _GNU_SOURCE
#include "hardware.h"

static struct sva_counters before;

int open_device(unsigned int nr)
{
	char path[32];

	snprintf(path, sizeof(path), "/dev/sva%u", nr);
	return TRY(open(path, O_RDWR | O_CLOEXEC));
}

__u32 access_flags(void)
{
	switch (pass) {
	case PASS_ATC:
		return SVA_ATC;
	case PASS_LOOP:
		return SVA_ATC | SVA_SPLIT;
	case PASS_PRI:
		return SVA_ATC | SVA_PRI;
	default:
		return 0;
	}
}

/* Without a status: whatever goes wrong here is an error of the test. */
static void command(int fd, struct sva_command *c)
{
	TRY(ioctl(fd, SVA_COMMAND, c));
	if (c->status == SVA_ERROR)
		die("the device did not take %u", c->command);
}

static int single(int fd, __u32 flags, const void *addr, __u64 *data)
{
	struct sva_command c = {
		.command = SVA_START, .flags = flags, .addr = (uintptr_t)addr,
		.count = 1, .data = *data,
	};

	command(fd, &c);
	*data = c.data;
	return c.status == SVA_DONE;
}

int device_read(int fd, __u32 flags, const void *addr, __u64 *data)
{
	*data = 0;
	return single(fd, flags, addr, data);
}

int device_write(int fd, __u32 flags, const void *addr, __u64 data)
{
	return single(fd, flags | SVA_WRITE, addr, &data);
}

/* Write what is there already, so that all of it is cached with all permissions. */
void device_fill(int fd, __u32 flags, const struct area *a)
{
	for (size_t i = 0; i < a->count; i++) {
		char *addr = a->start + i * a->stride;
		__u64 data;

		if (!cpu_read(addr, &data))
			die("the CPU cannot read %p", addr);
		if (!device_write(fd, flags | SVA_PRI, addr, data))
			die("the device cannot write to %p", addr);
	}
}

/* Where a write would copy what is shared. */
void device_read_all(int fd, __u32 flags, const struct area *a)
{
	for (size_t i = 0; i < a->count; i++) {
		char *addr = a->start + i * a->stride;
		__u64 data;

		if (!device_read(fd, flags | SVA_PRI, addr, &data))
			die("the device cannot read %p", addr);
	}
}

void start_loop(int fd, __u32 flags, const struct area *a)
{
	struct sva_command c = {
		.command = SVA_START, .flags = flags | SVA_LOOP | SVA_GO_ON,
		.addr = (uintptr_t)a->start, .count = a->count, .stride = a->stride,
	};

	command(fd, &c);
}

void stop_loop(int fd)
{
	struct sva_command c = { .command = SVA_STOP };

	command(fd, &c);
}

struct sva_counters counters(int fd)
{
	struct sva_counters c;

	TRY(ioctl(fd, SVA_COUNTERS, &c));
	return c;
}

unsigned int probe(int fd, const struct area *a)
{
	struct sva_command c = {
		.command = SVA_PROBE, .addr = (uintptr_t)a->start,
		.count = a->count, .stride = a->stride,
	};

	command(fd, &c);
	return c.data;
}

void stale(const char *format, ...)
{
	va_list args;

	if (!result->stale++) {
		va_start(args, format);
		vsnprintf(result->why, sizeof(result->why), format, args);
		va_end(args);
	}
}

/* The permissions that the process has there, of /proc/self/maps. */
static int protection(const void *addr)
{
	unsigned long start, end;
	char line[256], r, w;
	int prot = 0;
	FILE *maps;

	maps = fopen("/proc/self/maps", "r");
	if (!maps)
		die("/proc/self/maps: %s", strerror(errno));
	while (!prot && fgets(line, sizeof(line), maps)) {
		if (sscanf(line, "%lx-%lx %c%c", &start, &end, &r, &w) == 4 &&
		    (unsigned long)addr >= start && (unsigned long)addr < end)
			prot = (r == 'r' ? PROT_READ : 0) |
			       (w == 'w' ? PROT_WRITE : 0);
	}
	fclose(maps);
	return prot;
}

/*
 * What the device reads has to be what the CPU reads, and what it writes has to be
 * there for the CPU. Where the CPU cannot, the device must not. That it cannot where the
 * CPU can is no more than a page that it would have to request; it has to in PASS_PRI.
 */
void check_pages(int fd, const struct area *a)
{
	const __u32 flags = access_flags();

	for (size_t i = 0; i < a->count; i++) {
		char *addr = a->start + i * a->stride;
		const int prot = protection(addr);
		const __u64 token = 0x7e57000000000000 + i;
		__u64 seen, wanted;
		bool can, did;

		did = device_read(fd, flags, addr, &seen);
		can = (prot & PROT_READ) && cpu_read(addr, &wanted);
		if (did && !can)
			stale("page %zu was read, and is not there", i);
		else if (did && seen != wanted)
			stale("page %zu: %#llx read, not %#llx", i, seen, wanted);
		if (pass == PASS_PRI && can && !did)
			result->refused++;

		if (only_read && !harmless)
			continue;
		/* A request for what is write-protected would wait for userfaultfd. */
		did = device_write(fd, write_protected ? flags & ~SVA_PRI : flags, addr,
				   token);
		can = (prot & PROT_WRITE) && !write_protected && cpu_read(addr, &seen);
		if (did && !can)
			stale("page %zu was written", i);
		else if (did && seen != token)
			stale("page %zu: what was written is not there", i);
		if (pass == PASS_PRI && can && !did)
			result->refused++;
	}
}

/* What the driver gives to the IOMMU, of its trace event. */
static void read_trace(void)
{
	unsigned long long qw0, qw1;
	FILE *trace;
	char line[512], *at;

	trace = fopen(TRACING "trace", "r");
	if (!trace)
		die("there is no trace");
	while (fgets(line, sizeof(line), trace)) {
		at = strstr(line, " p_iotlb_inv ");
		if (!at)
			continue;
		at = strchr(at, ':');
		if (!at || sscanf(at, ": %llx %llx", &qw0, &qw1) != 2)
			die("cannot read '%s'", line);
		result->iommu_calls++;
		if ((qw0 >> 4 & 3) == 2) {
			result->iommu_full++;
			continue;
		}
		result->iommu_ih += qw1 >> 6 & 1;
		result->iommu_bytes += PAGE << (qw1 & 63);
	}
	fclose(trace);
}

void measure_start(int fd)
{
	before = counters(fd);
	put_file(TRACING "trace", "");
	put_file(TRACING "events/intel_iommu/qi_submit/enable", "1");
}

void measure_end(int fd)
{
	struct sva_counters after = counters(fd);
	struct sva_log log;

	put_file(TRACING "events/intel_iommu/qi_submit/enable", "0");
	read_trace();
	result->dropped = after.dropped - before.dropped;
	for (__u64 i = before.log_total; i < after.log_total; i++) {
		log.index = i;
		TRY(ioctl(fd, SVA_LOG, &log));
		if (log.pasid != after.pasid)
			continue;
		result->atc_calls++;
		if (log.size)
			result->atc_bytes += log.size;
		else
			result->atc_full++;
	}
}
