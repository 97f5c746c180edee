/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/* What the driver of the SVA test device and the programs that use it share. */
#ifndef SVA_TESTDEV_H
#define SVA_TESTDEV_H

#include <linux/ioctl.h>
#include <linux/types.h>

/* Commands and flags are those of the device. */
#define SVA_START	3
#define SVA_STOP	4
#define SVA_PROBE	5	/* how many accesses the ATC has a translation for */

#define SVA_ATC		1	/* keep translations */
#define SVA_PRI		2	/* request pages that are not there */
#define SVA_WRITE	4
#define SVA_LOOP	8	/* again and again, until stopped */
#define SVA_GO_ON	16	/* a fault is counted, and ends nothing */
#define SVA_SPLIT	32	/* keep but a page of a larger translation */

#define SVA_IDLE	0
#define SVA_BUSY	1
#define SVA_DONE	2
#define SVA_FAULT	3
#define SVA_ERROR	4

/* A command. A loop goes on when the call returns. */
struct sva_command {
	__u32 command;
	__u32 flags;
	__u64 addr;
	__u64 count;
	__u64 stride;
	__u64 data;		/* what to write, or what was read last */
	__u64 fault_addr;
	__u32 status;
	__u32 pasid;
};

struct sva_counters {
	__u64 accesses;
	__u64 faults;
	__u64 hits;
	__u64 requests;		/* for translations */
	__u64 page_requests;
	__u64 invalidations;
	__u64 dropped;
	__u64 atc_used;		/* of the device */
	__u64 log_total;	/* of the device */
	__u64 pasid;
	__u64 status;
};

/* An invalidation request that the device received. */
struct sva_log {
	__u64 index;		/* in */
	__u64 pasid;
	__u64 addr;
	__u64 size;		/* 0 is all */
	__u64 dropped;
};

#define SVA_COMMAND	_IOWR('S', 1, struct sva_command)
#define SVA_COUNTERS	_IOR('S', 2, struct sva_counters)
#define SVA_LOG		_IOWR('S', 3, struct sva_log)
/* Unbind now, and leave the device alone: it may be in the middle of a loop. */
#define SVA_UNBIND	_IO('S', 4)
/*
 * A page table of the kernel: an address that it translates, but to nothing. Then it is
 * freed, and its memory is made another's, full of entries. At last, how many of these
 * have changed.
 */
#define SVA_KERNEL_MAP	_IOR('S', 5, __u64)
#define SVA_KERNEL_FREE	_IO('S', 6)
#define SVA_KERNEL_DONE	_IOR('S', 7, __u64)

#endif /* SVA_TESTDEV_H */
