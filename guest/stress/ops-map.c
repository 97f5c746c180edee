// SPDX-License-Identifier: GPL-2.0
/* Mappings come, go, move and change. */
#include "stress.h"

static const int prots[] = {
	PROT_READ | PROT_WRITE, PROT_READ | PROT_WRITE, PROT_READ, PROT_NONE,
};

static long map_at(struct area a, int flags, int fd, off_t offset)
{
	return mmap(a.addr, a.len, PROT_READ | PROT_WRITE, flags | MAP_FIXED,
		    fd, offset) == MAP_FAILED ? -1 : 0;
}

static long map_anon(struct thread *t)
{
	struct area a = some_area(t);
	int flags = MAP_PRIVATE | MAP_ANONYMOUS;

	if (one_in(t, 8))
		flags |= MAP_POPULATE;
	return map_at(a, flags, -1, 0);
}

/* All of it: what the small ones left are page tables full of small areas. */
static long map_big(struct thread *t)
{
	struct area a = { ARENA, ARENA_SIZE / 2 };

	if (one_in(t, 2))
		a.addr += a.len;
	return map_at(a, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
}

static long map_huge(struct thread *t)
{
	struct area a = some_huge_area(t);

	if (map_at(a, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) ||
	    madvise(a.addr, a.len, MADV_HUGEPAGE))
		return -1;
	touch(a.addr, a.len, true, below(t, 4));
	return 0;
}

static long map_file_of(struct thread *t, int file, int flags)
{
	struct area a = some_area(t);
	off_t offset = below(t, FILE_SIZE / page_size) * page_size;

	if (file < 0)
		return -1;
	/* At offsets where huge pages of it can be mapped, too. */
	if (one_in(t, 2))
		offset = ((uintptr_t)a.addr & (huge_size - 1));
	return map_at(a, flags, file, offset);
}

static long map_memfd(struct thread *t)
{
	return map_file_of(t, files[FILE_MEMFD], MAP_SHARED);
}

static long map_tmpfs(struct thread *t)
{
	return map_file_of(t, files[FILE_TMPFS], MAP_SHARED);
}

static long map_disk(struct thread *t)
{
	return map_file_of(t, files[FILE_DISK], MAP_SHARED);
}

static long map_private_file(struct thread *t)
{
	return map_file_of(t, files[below(t, NR_FILES)], MAP_PRIVATE);
}

static long map_hugetlb(struct thread *t)
{
	struct area a = some_huge_area(t);

	a.len = huge_size;
	if (map_at(a, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0))
		return -1;
	touch(a.addr, a.len, true, below(t, 4));
	return 0;
}

static long map_hugetlb_shared(struct thread *t)
{
	struct area a = some_huge_area(t);

	if (map_at(a, MAP_SHARED, huge_file, 0))
		return -1;
	touch(a.addr, a.len, one_in(t, 2), below(t, 4));
	return 0;
}

static long unmap(struct thread *t)
{
	struct area a = some_area(t);

	return munmap(a.addr, a.len);
}

/* Page tables of all levels go. */
static long unmap_big(struct thread *t)
{
	return munmap(ARENA + (one_in(t, 2) ? ARENA_SIZE / 2 : 0),
		      ARENA_SIZE / 2);
}

static char *other_place(struct thread *t, struct area a, size_t unit)
{
	return ARENA + below(t, (ARENA_SIZE - a.len) / unit + 1) * unit;
}

static long move(struct thread *t, struct area a, size_t unit, int flags)
{
	return mremap(a.addr, a.len, a.len, MREMAP_MAYMOVE | MREMAP_FIXED |
		      flags, other_place(t, a, unit)) == MAP_FAILED ? -1 : 0;
}

static long move_pages_of(struct thread *t)
{
	return move(t, some_area(t), page_size, 0);
}

static long move_tables(struct thread *t)
{
	return move(t, some_huge_area(t), huge_size, 0);
}

static long move_dontunmap(struct thread *t)
{
	struct area a = one_in(t, 2) ? some_area(t) : some_huge_area(t);

	return move(t, a, one_in(t, 2) ? page_size : huge_size,
		    MREMAP_DONTUNMAP);
}

static long resize(struct thread *t)
{
	struct area a = some_area(t);
	size_t len = page_size * (1 + below(t, 2 * a.len / page_size));

	if (len > (size_t)(ARENA + ARENA_SIZE - a.addr))
		len = page_size;
	return mremap(a.addr, a.len, len, 0) == MAP_FAILED ? -1 : 0;
}

/* A page table full of memory moves while the devices know it. */
static long move_full_table(struct thread *t)
{
	char *from = lab(t), *to = lab(t) + 2 * huge_size;
	struct area a = { from, huge_size };
	const int advice = one_in(t, 3) ? MADV_HUGEPAGE : MADV_NOHUGEPAGE;
	long ret;

	if (map_at(a, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0))
		return -1;
	madvise(from, huge_size, advice);
	touch(from, huge_size, true, 1 + below(t, 3));
	fill_all(t, from, huge_size);
	ret = mremap(from, huge_size, huge_size, MREMAP_MAYMOVE | MREMAP_FIXED,
		     to) == MAP_FAILED ? -1 : 0;
	touch(to, huge_size, true, 1 + below(t, 3));
	munmap(from, LAB_SIZE);
	return ret;
}

/* A page table one level higher, with little behind it. */
static long move_tree(struct thread *t)
{
	char *from = TREES + 2 * t->nr * TREE_SIZE, *to = from + TREE_SIZE;
	struct area a = { from, TREE_SIZE };
	long ret;

	if (map_at(a, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0))
		return -1;
	for (int i = 0; i < 8; i++)
		touch(from + i * 16 * huge_size, 4 * page_size, true, 1 + i);
	for (int i = 0; i < 8; i++)
		fill_all(t, from + i * 16 * huge_size, 4 * page_size);
	ret = mremap(from, TREE_SIZE, TREE_SIZE,
		     MREMAP_MAYMOVE | MREMAP_FIXED, to) == MAP_FAILED ? -1 : 0;
	for (int i = 0; i < 8; i++) {
		touch(to + i * 16 * huge_size, page_size, true, 1);
		fill_all(t, to + i * 16 * huge_size, 4 * page_size);
	}
	munmap(from, 2 * TREE_SIZE);
	return ret;
}

static long protect(struct thread *t)
{
	struct area a = some_area(t);

	return mprotect(a.addr, a.len, prots[below(t, ARRAY_SIZE(prots))]);
}

static long protect_all(struct thread *t)
{
	mprotect(ARENA, ARENA_SIZE, PROT_READ);
	(void)t;
	return mprotect(ARENA, ARENA_SIZE, PROT_READ | PROT_WRITE) &&
	       errno != ENOMEM ? -1 : 0;
}

static long access_some(struct thread *t, bool write)
{
	struct area a = some_area(t);

	touch(a.addr, a.len, write, below(t, 4));
	return 0;
}

static long read_some(struct thread *t)
{
	return access_some(t, false);
}

static long write_some(struct thread *t)
{
	return access_some(t, true);
}

/* Little, as it cannot be reclaimed. */
static long lock_some(struct thread *t)
{
	struct area a = some_area(t);

	if (a.len > 32 * page_size)
		a.len = 32 * page_size;
	return syscall(SYS_mlock2, a.addr, a.len,
		       one_in(t, 2) ? MLOCK_ONFAULT : 0);
}

static long unlock_some(struct thread *t)
{
	struct area a = some_huge_area(t);

	return munlock(a.addr, a.len);
}

/* A program's heap, which only one thread moves. */
static long grow_break(struct thread *t)
{
	static char *top;
	static int busy;
	const size_t len = (1 + below(t, 64)) * page_size;
	char *old;
	long ret = 0;

	if (__atomic_exchange_n(&busy, 1, __ATOMIC_ACQUIRE))
		return 0;
	old = (char *)syscall(SYS_brk, 0);
	if (!top)
		top = old;
	if (old == top) {
		ret = (char *)syscall(SYS_brk, old + len) == old + len ? 0 : -1;
		if (!ret) {
			touch(old, len, true, below(t, 4));
			fill_all(t, (void *)(((uintptr_t)old + page_size - 1) &
					     -page_size), len - page_size);
		}
	} else {
		/* What was given back is gone. */
		ret = (char *)syscall(SYS_brk, top) == top ? 0 : -1;
	}
	__atomic_store_n(&busy, 0, __ATOMIC_RELEASE);
	return ret;
}

static long remap_pages(struct thread *t)
{
	struct area a = { lab(t), 16 * page_size };
	long ret;

	if (map_at(a, MAP_SHARED, files[FILE_MEMFD], 0))
		return -1;
	touch(a.addr, a.len, true, 1);
	fill_all(t, a.addr, a.len);
	ret = remap_file_pages(a.addr, 4 * page_size, 0, below(t, 12), 0);
	munmap(a.addr, a.len);
	return ret;
}

const struct op ops_map[] = {
	{ "mmap, anonymous", 40, map_anon },
	{ "mmap, half of all", 2, map_big },
	{ "mmap, huge pages", 10, map_huge, no_thp },
	{ "mmap, memfd", 15, map_memfd },
	{ "mmap, tmpfs", 10, map_tmpfs },
	{ "mmap, disk", 8, map_disk },
	{ "mmap, file, private", 8, map_private_file },
	{ "mmap, hugetlb", 4, map_hugetlb },
	{ "mmap, hugetlb, shared", 4, map_hugetlb_shared },
	{ "munmap", 25, unmap },
	{ "munmap, half of all", 2, unmap_big },
	{ "mremap", 15, move_pages_of },
	{ "mremap, huge areas", 8, move_tables },
	{ "mremap, DONTUNMAP", 6, move_dontunmap },
	{ "mremap, size", 6, resize },
	{ "mremap, page table", 5, move_full_table },
	{ "mremap, 1G", 3, move_tree },
	{ "mprotect", 25, protect },
	{ "mprotect, all", 2, protect_all },
	{ "read", 40, read_some },
	{ "write", 80, write_some },
	{ "mlock", 4, lock_some },
	{ "munlock", 6, unlock_some },
	{ "brk", 5, grow_break },
	{ "remap_file_pages", 2, remap_pages },
	{ }
};
