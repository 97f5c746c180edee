/* SPDX-License-Identifier: GPL-2.0 */
#ifndef BENCH_H
#define BENCH_H

#define __SANE_USERSPACE_TYPES__	/* __u64 is long long everywhere */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../guest.h"
#include "test_mmu_notifier_uapi.h"
#include "bench_device.h"

#define PAGE		4096ul
#define HUGE		(2ul << 20)
/*
 * Where it all happens, with nothing near, so that page tables go with the memory.
 * What an operation does not touch is NEAR, in the same gigabyte, and FAR.
 */
#define ARENA		((char *)0x1000000000)
#define ARENA_SIZE	(1024ul << 20)
#define NEAR		(ARENA + ARENA_SIZE - HUGE)
#define FAR		(ARENA + ARENA_SIZE)
#define REST_SIZE	(64 * PAGE)

/* What operations are measured for. */
#define PRECISION	0x1
#define COST		0x2	/* instructions, with one CPU */
#define COST_TWO	0x4	/* instructions, with a second CPU in the mm */
#define WALL		0x8
#define WALL_MANY	0x10	/* wall clock, with one device and with eight */

struct op {
	const char *name;
	unsigned int uses;
	/* Map and touch ARENA. */
	void (*prepare)(void);
	/* The operation: all that is measured. */
	void (*change)(void);
	/* Put right what munmap() of the arena does not. */
	void (*restore)(void);
	/* What changes, in bytes; count() tells it afterwards. Neither: the whole mm. */
	size_t changes;
	size_t (*count)(void);
	/* What of the arena does not change although it is mapped. */
	size_t kept_start, kept_size;
	bool tables;		/* page tables are freed, moved or replaced */
	bool scattered;		/* what changes is not contiguous */
	unsigned int vmas;	/* how many are mapped */
	unsigned int times;	/* of a measurement of instructions */
	unsigned int wall_times; /* of one of the wall clock, if it takes long */
};

extern const struct op ops[];
extern const size_t nr_ops;
/* The one that is measured. */
extern const struct op *doing;
/* Called in a child whose mm ends or is replaced; returns a file or -1. */
extern int (*attach_child)(void);

void on_cpu(int cpu);
void set_up_system(void);
void set_up_ops(void);
void map_rest(void);
void unmap_arena(void);

#endif /* BENCH_H */
