/* SPDX-License-Identifier: GPL-2.0 */
/* What the files of guest/hardware/ share. */
#ifndef HARDWARE_H
#define HARDWARE_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "../guest.h"
#include "sva_testdev.h"

#define PAGE		4096ul
#define MIB		0x100000ul
#define PMD		(2 * MIB)
#define PUD		(512 * PMD)
#define ALL		(PROT_READ | PROT_WRITE)
#define KSM		"/sys/kernel/mm/ksm/"

/*
 * Where things are, in a process that is there for one operation. What does not change
 * is next to it, and far away from it.
 */
#define AREA		((char *)(1ul << 40))
#define NEAR		(AREA - 64 * MIB)
#define FAR		((char *)(1ul << 45))
#define ELSEWHERE	((char *)(3ul << 40))
#define REST_PAGES	16ul		/* half of them NEAR, half FAR */
#define MAX_PAGES	512ul

/* How devices access the memory of an operation. */
enum pass {
	PASS_ATC,	/* what ATS gives is kept; what is measured */
	PASS_IOTLB,	/* nothing is kept: what is stale is in the IOMMU */
	PASS_LOOP,	/* of a large translation a page is kept, and a loop runs */
	PASS_PRI,	/* pages are requested: each access the CPU can do succeeds */
	NR_PASSES,
};

extern const char * const pass_names[];

/* The pages that are accessed, and what is measured of one pass. */
struct area {
	char *start;
	size_t count, stride;
};

struct result {
	bool done;
	unsigned int stale;		/* accesses that should not have been */
	unsigned int refused;		/* PASS_PRI: accesses that should have been */
	unsigned int lost;		/* of the rest, that the ATC has no more */
	unsigned int atc_calls, atc_full;
	__u64 atc_bytes, dropped;
	unsigned int iommu_calls, iommu_ih, iommu_full;
	__u64 iommu_bytes;
	char why[64];
};

/*
 * An operation is of a process of its own, the subject. prepare() maps memory and says
 * which pages are accessed; what change() does is measured. Then each page is checked
 * against what the CPU sees, and check() looks at what only it knows. Those with run()
 * do all of it themselves.
 */
struct op {
	const char *name;
	__u64 changed;
	void (*prepare)(void);
	void (*change)(void);
	void (*check)(void);
	void (*run)(void);
	bool alone;	/* only if it is asked for: it may bring a kernel down */
};

extern const struct op ops[];
extern const size_t nr_ops;

/* Of the subject. */
extern enum pass pass;
extern struct area area;
extern struct result *result;
extern bool fill_reads;		/* the device has to have read only translations */
extern bool only_read;		/* what is stale must not be written to, */
extern bool harmless;		/* unless it is the subject's even if it is stale */
extern bool write_protected;	/* no write may succeed, whatever the VMA allows */
extern int device;		/* of the subject */

/* device.c */
int open_device(unsigned int nr);
__u32 access_flags(void);
int device_read(int fd, __u32 flags, const void *addr, __u64 *data);
int device_write(int fd, __u32 flags, const void *addr, __u64 data);
void device_fill(int fd, __u32 flags, const struct area *a);
void device_read_all(int fd, __u32 flags, const struct area *a);
void start_loop(int fd, __u32 flags, const struct area *a);
void stop_loop(int fd);
struct sva_counters counters(int fd);
unsigned int probe(int fd, const struct area *a);
void stale(const char *format, ...) __attribute__((format(printf, 1, 2)));
void check_pages(int fd, const struct area *a);
void measure_start(int fd);
void measure_end(int fd);

/* main.c */
void pause_ms(unsigned int ms);
static inline void cpu_store(void *addr, __u64 data)
{
	__atomic_store_n((__u64 *)addr, data, __ATOMIC_RELAXED);
}

static inline __u64 cpu_load(const void *addr)
{
	return __atomic_load_n((const __u64 *)addr, __ATOMIC_RELAXED);
}

void put_file(const char *path, const char *text);
bool cpu_read(const void *addr, __u64 *data);

#endif /* HARDWARE_H */
