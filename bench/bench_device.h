/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/* Interface of bench/bench_device.c, which the guest's program uses. */
#ifndef BENCH_DEVICE_H
#define BENCH_DEVICE_H

#include <linux/types.h>
#include <linux/ioctl.h>

enum bench_kind {
	BENCH_KVM,		/* invalidate_range_start() and _end() */
	BENCH_TLB,		/* a secondary TLB */
	BENCH_TLB_IN_RANGE,	/* one that has start and end, too, and sees both */
	BENCH_INTERVAL,		/* intervals with the start of a range, as of a GPU */
	BENCH_TLB_INTERVAL,	/* secondary TLBs of an interval each */
};

/* Whose driver is imitated, to count the commands for a call. */
enum bench_model {
	BENCH_VTD,
	BENCH_AMD,
	BENCH_SMMU,		/* without invalidation of ranges */
	BENCH_SMMU_RANGE,	/* with it */
	BENCH_OCXL,
	BENCH_NR_MODELS,
};

/**
 * struct bench_attach - argument of BENCH_ATTACH
 * @kind: enum bench_kind
 * @nr: how many subscriptions
 * @count: count all of struct bench_counters, not only the calls and @brackets
 * @model: enum bench_model, the device that is waited for
 * @latency: how long a command of it takes, in ns; needs @count
 * @start: first address of the first interval
 * @step: from one interval, of one page, to the next
 */
struct bench_attach {
	__u32 kind;
	__u32 nr;
	__u32 count;
	__u32 model;
	__u64 latency;
	__u64 start;
	__u64 step;
};

/**
 * struct bench_sum - calls, and what they took
 * @calls: of invalidate_range(), or of what the stock kernel has instead
 * @ns: the time in them
 * @commands: by enum bench_model, with the commands for a device with ATS, and
 *	those that wait
 */
struct bench_sum {
	__u64 calls;
	__u64 ns;
	__u64 commands[BENCH_NR_MODELS];
};

/* Which locks were held in a call. */
enum bench_held {
	BENCH_ALL,		/* any or none */
	BENCH_PTL,		/* a spinlock: that of a page table */
	BENCH_MMAP,		/* the mmap lock, by anybody */
	BENCH_MMAP_WRITE,	/* the same, for writing */
	BENCH_NR_HELD,
};

/**
 * struct bench_counters - what all subscriptions of a file were told
 * @brackets: calls of invalidate_range_start(), or of an interval's invalidate()
 * @full: calls for the whole mm
 * @leaf: calls with the leaf hint
 * @level: calls with the level
 * @bytes: bytes of the calls, without those of @full
 * @most: by enum bench_model, the most commands of one call
 * @whole: by enum bench_model, calls for which it loses all of the mm
 * @sum: by enum bench_held
 */
struct bench_counters {
	__u64 brackets;
	__u64 full;
	__u64 leaf;
	__u64 level;
	__u64 bytes;
	__u64 most[BENCH_NR_MODELS];
	__u64 whole[BENCH_NR_MODELS];
	struct bench_sum sum[BENCH_NR_HELD];
};

/*
 * An open file of /dev/mmu_notifier_bench has one set of subscriptions to the mm of
 * who attaches it, until it is closed. EOPNOTSUPP: the kernel has no such kind.
 */
#define BENCH_ATTACH	_IOW('b', 0x80, struct bench_attach)
#define BENCH_READ	_IOR('b', 0x81, struct bench_counters)
#define BENCH_RESET	_IO('b', 0x82)

#endif /* BENCH_DEVICE_H */
