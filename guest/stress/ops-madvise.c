// SPDX-License-Identifier: GPL-2.0
/* Advice, for one range and for several at once. */
#include <sys/pidfd.h>
#include <sys/uio.h>
#include <linux/mman.h>

#include "stress.h"

static long advise(struct thread *t, int advice)
{
	struct area a = some_area(t);

	return madvise(a.addr, a.len, advice);
}

#define ADVICE(name) \
static long advise_##name(struct thread *t) { return advise(t, MADV_##name); }

ADVICE(DONTNEED)
ADVICE(DONTNEED_LOCKED)
ADVICE(FREE)
ADVICE(COLD)
ADVICE(PAGEOUT)
ADVICE(WILLNEED)
ADVICE(HUGEPAGE)
ADVICE(NOHUGEPAGE)
ADVICE(MERGEABLE)
ADVICE(UNMERGEABLE)
ADVICE(POPULATE_READ)
ADVICE(POPULATE_WRITE)
ADVICE(DONTFORK)
ADVICE(DOFORK)
ADVICE(WIPEONFORK)
ADVICE(KEEPONFORK)
ADVICE(GUARD_INSTALL)
ADVICE(GUARD_REMOVE)

static long collapse(struct thread *t)
{
	struct area a = some_huge_area(t);

	a.len = huge_size;
	/* As it is, or with few of its pages there. */
	if (one_in(t, 2)) {
		mmap(a.addr, a.len, PROT_READ | PROT_WRITE, MAP_PRIVATE |
		     MAP_ANONYMOUS | MAP_FIXED, -1, 0);
		touch(a.addr, 32 * page_size, true, 1);
	}
	return madvise(a.addr, a.len, MADV_COLLAPSE);
}

/* All that is there, in one gather that frees more than once. */
static long dontneed_all(struct thread *t)
{
	(void)t;
	return madvise(ARENA, ARENA_SIZE, MADV_DONTNEED) && errno != ENOMEM ?
	       -1 : 0;
}

/* Where there is something to collapse for sure. */
static long collapse_own(struct thread *t)
{
	char *addr = lab(t);
	long ret;

	if (mmap(addr, huge_size, PROT_READ | PROT_WRITE, MAP_PRIVATE |
		 MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED ||
	    madvise(addr, huge_size, MADV_NOHUGEPAGE))
		return -1;
	touch(addr, huge_size, true, 1 + below(t, 3));
	if (madvise(addr, huge_size, MADV_HUGEPAGE))
		return -1;
	fill_all(t, addr, huge_size);
	ret = madvise(addr, huge_size, MADV_COLLAPSE);
	touch(addr, huge_size, true, 1 + below(t, 3));
	munmap(addr, huge_size);
	return ret;
}

/* A page fault has to undo it for each page that is written. */
static long merge_own(struct thread *t)
{
	const size_t len = 64 * page_size;
	char *addr = lab(t);
	long ret;

	if (mmap(addr, len, PROT_READ | PROT_WRITE, MAP_PRIVATE |
		 MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED)
		return -1;
	touch(addr, len, true, 7);
	ret = madvise(addr, len, MADV_MERGEABLE);
	fill_all(t, addr, len);
	sleep_ms(20);
	touch(addr, len / 2, true, 8);
	if (!ret && one_in(t, 2))
		ret = madvise(addr, len, MADV_UNMERGEABLE);
	munmap(addr, len);
	return ret;
}

/* It is for shared memory. */
static long advise_REMOVE(struct thread *t)
{
	struct area a = some_area(t);

	if (one_in(t, 2))
		mmap(a.addr, a.len, PROT_READ | PROT_WRITE, MAP_SHARED |
		     MAP_FIXED, files[below(t, 2)],
		     (uintptr_t)a.addr & (huge_size - 1));
	return madvise(a.addr, a.len, MADV_REMOVE);
}

static const int vector_advice[] = {
	MADV_DONTNEED, MADV_DONTNEED, MADV_FREE, MADV_COLD, MADV_PAGEOUT,
	MADV_GUARD_INSTALL, MADV_GUARD_REMOVE,
};

static long advise_vector(struct thread *t)
{
	struct iovec vec[8];
	const int nr = 1 + below(t, ARRAY_SIZE(vec));
	int pidfd;
	long ret;

	for (int i = 0; i < nr; i++) {
		struct area a = some_area(t);

		vec[i] = (struct iovec){ a.addr, a.len };
	}
	pidfd = syscall(SYS_pidfd_open, getpid(), 0);
	if (pidfd < 0)
		return -1;
	ret = syscall(SYS_process_madvise, pidfd, vec, nr,
		      vector_advice[below(t, ARRAY_SIZE(vector_advice))], 0);
	close(pidfd);
	return ret;
}

static const int remote_advice[] = {
	MADV_COLD, MADV_PAGEOUT, MADV_COLLAPSE, MADV_WILLNEED,
};

/* Of another process, which has devices as well. */
static long advise_remote(struct thread *t)
{
	struct slot *other = &shared->slots[(t->slot_nr + 1) % MAX_SLOTS];
	struct area a = some_huge_area(t);
	struct iovec vec = { a.addr, a.len };
	int pidfd;
	long ret;

	while (!other->pid)
		other = other == &shared->slots[MAX_SLOTS - 1] ?
			shared->slots : other + 1;
	pidfd = syscall(SYS_pidfd_open, other->pid, 0);
	if (pidfd < 0)
		return -1;
	ret = syscall(SYS_process_madvise, pidfd, &vec, 1,
		      remote_advice[below(t, ARRAY_SIZE(remote_advice))], 0);
	close(pidfd);
	return ret;
}

const struct op ops_madvise[] = {
	{ "MADV_DONTNEED", 15, advise_DONTNEED },
	{ "MADV_DONTNEED, all", 3, dontneed_all },
	{ "MADV_DONTNEED_LOCKED", 4, advise_DONTNEED_LOCKED },
	{ "MADV_FREE", 8, advise_FREE },
	{ "MADV_COLD", 6, advise_COLD },
	{ "MADV_PAGEOUT", 15, advise_PAGEOUT },
	{ "MADV_WILLNEED", 3, advise_WILLNEED },
	{ "MADV_HUGEPAGE", 8, advise_HUGEPAGE, no_thp },
	{ "MADV_NOHUGEPAGE", 4, advise_NOHUGEPAGE, no_thp },
	{ "MADV_COLLAPSE", 6, collapse, no_thp },
	{ "MADV_COLLAPSE, own", 3, collapse_own, no_thp },
	{ "MADV_MERGEABLE", 6, advise_MERGEABLE },
	{ "MADV_UNMERGEABLE", 3, advise_UNMERGEABLE },
	{ "KSM, own", 3, merge_own },
	{ "MADV_POPULATE_READ", 6, advise_POPULATE_READ },
	{ "MADV_POPULATE_WRITE", 10, advise_POPULATE_WRITE },
	{ "MADV_DONTFORK", 2, advise_DONTFORK },
	{ "MADV_DOFORK", 3, advise_DOFORK },
	{ "MADV_WIPEONFORK", 2, advise_WIPEONFORK },
	{ "MADV_KEEPONFORK", 2, advise_KEEPONFORK },
	{ "MADV_REMOVE", 6, advise_REMOVE },
	{ "MADV_GUARD_INSTALL", 5, advise_GUARD_INSTALL },
	{ "MADV_GUARD_REMOVE", 6, advise_GUARD_REMOVE },
	{ "process_madvise", 8, advise_vector },
	{ "process_madvise, other", 5, advise_remote },
	{ }
};
