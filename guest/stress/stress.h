/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the parts of the stress program share.
 *
 * Everything that one process has to tell another is in struct shared, which is
 * mapped before the first fork.
 */
#ifndef STRESS_H
#define STRESS_H

#define __SANE_USERSPACE_TYPES__	/* __u64 is long long everywhere */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>
#include <linux/types.h>

#include "test_mmu_notifier_uapi.h"

#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))

/*
 * The memory that all threads of a process work on lies on both sides of an
 * address where a page table of each level ends. Behind it each thread has a
 * little of its own, for what needs a certain state to succeed. The devices
 * access both.
 */
#define ARENA		((char *)0x1000000000 - (32ul << 20))
#define ARENA_SIZE	(64ul << 20)
#define LAB_SIZE	(4 * huge_size)
#define LABS		(ARENA + ARENA_SIZE)
/* Where whole page table trees of 1G move. */
#define TREES		((char *)0x2000000000)
#define TREE_SIZE	(1024ul << 20)

#define MAX_SLOTS	8	/* processes at the same time */
#define MAX_THREADS	4
#define NR_FILES	3	/* shared between the processes, each of its kind */
#define FILE_SIZE	(16ul << 20)

enum { FILE_MEMFD, FILE_TMPFS, FILE_DISK };

/* A device, and what was seen of it so far. */
struct dev {
	int fd;			/* -1: there is none */
	bool attached;
	bool control;		/* it is there to be caught */
	__u32 mode;
	__u32 entries;
	__u64 start;		/* of the interval, or all with a length of 0 */
	__u64 len;
	__u64 latency;
	struct stlb_counters seen;
};

#define NR_KEPT		2	/* of a process, from begin to end */
#define NR_DEVS		(NR_KEPT + 3)	/* the others come and go */

/* What a thread does at the moment. */
struct now {
	pid_t tid;
	int op;
	__u64 nr;		/* operations before it, of this thread */
	__u64 since;		/* in ms; 0: nothing */
};

enum slot_kind { SLOT_WORKER, SLOT_CONTROL, SLOT_EATER };

struct slot {
	enum slot_kind kind;
	pid_t pid;
	__u32 generation;	/* processes there were before in this slot */
	int dev_lock;
	struct dev devs[NR_DEVS];
	struct now now[MAX_THREADS];
};

struct op_count {
	__u64 done, ok, ms;
	int last_errno;		/* of one that failed */
};

#define MAX_OPS		128

struct shared {
	__u64 seed;
	__u64 end;		/* in ms */
	struct op_count ops[MAX_OPS];
	__u64 fills, calls, freed, attached, checks, check_retries;
	__u64 stale;		/* of devices that must not have any */
	__u64 control;		/* of those that must */
	__u64 signals, failures;
	int report_lock;
	int poisoned;		/* pages that were, and may be, given an error */
	bool failed;
	pid_t compacts;		/* who does, 0: nobody */
	struct slot slots[MAX_SLOTS];
	struct now now;		/* of process 1 */
};

struct thread {
	struct slot *slot;
	unsigned int slot_nr, nr;
	__u64 rng;
	struct now *now;
	int proc;		/* /proc/PID */
	int uffd, uffd_async;	/* of the process, -1: none */
};

struct op {
	const char *name;
	unsigned int weight;	/* 0: not done by workers */
	/* < 0: -1 and errno */
	long (*run)(struct thread *t);
	/* Why the kernel cannot do it, NULL if it can. */
	const char *(*absent)(void);
	bool needs_devices;	/* that come and go */
	bool for_control;	/* and nobody else */
};

extern struct shared *shared;
extern size_t page_size, huge_size;
extern int files[NR_FILES], huge_file;
extern unsigned int nr_nodes;

/* util.c */
void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
__u64 now_ms(void);
void sleep_ms(unsigned int ms);
__u64 rnd(__u64 *rng);
__u64 seed_of(__u64 a, __u64 b, __u64 c);
bool write_file(const char *path, const char *text);
long meminfo_kb(const char *what);
const char *no_thp(void);
void lock(int *l);
void unlock(int *l);
#define add(counter, n)	__atomic_fetch_add(&(counter), n, __ATOMIC_RELAXED)

static inline __u64 below(struct thread *t, __u64 n)
{
	return rnd(&t->rng) % n;
}

static inline bool one_in(struct thread *t, __u64 n)
{
	return !below(t, n);
}

/* memory.c */
struct area {
	char *addr;
	size_t len;
};

void catch_signals(void);
/* Run a function that a signal of a bad access ends: false if it did. */
bool guarded(void (*fn)(void *arg), void *arg);
void ignore_bus_errors(bool ignore);
bool touch(char *addr, size_t len, bool write, unsigned int value);
struct area some_area(struct thread *t);
struct area some_huge_area(struct thread *t);
char *lab(struct thread *t);
size_t arena_size(void);

/* device.c */
void dev_open(struct dev *dev);
int dev_attach(struct dev *dev);
void dev_account(struct slot *slot, struct dev *dev);
void dev_close(struct slot *slot, struct dev *dev);
void dev_check(struct slot *slot, struct dev *dev);
int dev_threads(struct dev *dev, unsigned int nr, __u32 seed);
int dev_hot(struct dev *dev, char *addr, size_t len);
int dev_fill(struct dev *dev, char *addr, size_t len);
void fill_all(struct thread *t, char *addr, size_t len);

/* worker.c */
void run_worker(unsigned int slot_nr);
__u64 begin_op(struct now *now, int op, __u64 nr);
void end_op(struct now *now, int op, __u64 begin, long ret);

/* setup.c */
void set_up(void);
void enter_cgroup(const char *name);

/* faults.c: what process 1 does to the others */
void start_slot(unsigned int slot_nr, enum slot_kind kind);
void end_slot(unsigned int slot_nr, int status);
void disturb(__u64 *rng, __u64 nr);
__u64 oom_kills(void);
void run_eater(unsigned int slot_nr);

/* ops-*.c */
void open_uffds(int *uffd, int *uffd_async);
extern const struct op ops_map[], ops_madvise[], ops_file[], ops_uffd[],
	ops_process[], ops_device[], ops_init[];
extern const struct op *ops[MAX_OPS];
extern int nr_ops;
void collect_ops(void);
int op_number(const char *name);
int run_exec_child(int argc, char **argv);

#endif /* STRESS_H */
