// SPDX-License-Identifier: GPL-2.0
/*
 * userfaultfd. Nobody waits for a page: one that is missing or protected is a
 * SIGBUS, or is dealt with by the kernel (the asynchronous descriptor).
 */
#include <linux/fs.h>
#include <linux/userfaultfd.h>

#include "stress.h"

static __u64 features;		/* that the kernel has */

#define WANTED	(UFFD_FEATURE_SIGBUS | UFFD_FEATURE_PAGEFAULT_FLAG_WP | \
		 UFFD_FEATURE_MISSING_HUGETLBFS | UFFD_FEATURE_MISSING_SHMEM | \
		 UFFD_FEATURE_MINOR_SHMEM | UFFD_FEATURE_WP_HUGETLBFS_SHMEM | \
		 UFFD_FEATURE_WP_UNPOPULATED | UFFD_FEATURE_MOVE | \
		 UFFD_FEATURE_POISON | UFFD_FEATURE_RWP)
#define WANTED_ASYNC	(UFFD_FEATURE_PAGEFAULT_FLAG_WP | \
			 UFFD_FEATURE_WP_HUGETLBFS_SHMEM | \
			 UFFD_FEATURE_WP_UNPOPULATED | UFFD_FEATURE_WP_ASYNC | \
			 UFFD_FEATURE_RWP | UFFD_FEATURE_RWP_ASYNC)

static int open_uffd(__u64 wanted)
{
	struct uffdio_api api = { .api = UFFD_API, .features = wanted };
	int fd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		return -1;
	if (ioctl(fd, UFFDIO_API, &api)) {
		close(fd);
		return -1;
	}
	features = api.features;
	return fd;
}

/* What the kernel has not is not asked for. */
void open_uffds(int *uffd, int *uffd_async)
{
	int fd = open_uffd(0);

	*uffd = *uffd_async = -1;
	if (fd < 0)
		return;
	close(fd);
	*uffd = open_uffd(WANTED & features);
	fd = open_uffd(0);
	close(fd);
	*uffd_async = open_uffd(WANTED_ASYNC & features);
	fd = open_uffd(0);
	close(fd);
}

static const char *absent_feature(__u64 feature)
{
	int uffd, async;

	open_uffds(&uffd, &async);
	close(uffd);
	close(async);
	return features & feature ? NULL : "userfaultfd does not have it";
}

static const char *absent_wp(void)
{
	return absent_feature(UFFD_FEATURE_PAGEFAULT_FLAG_WP);
}

static const char *absent_async(void)
{
	return absent_feature(UFFD_FEATURE_WP_ASYNC);
}

static const char *absent_minor(void)
{
	return absent_feature(UFFD_FEATURE_MINOR_SHMEM);
}

static const char *absent_rwp(void)
{
	return absent_feature(UFFD_FEATURE_RWP);
}

static long enlist(int uffd, char *addr, size_t len, __u64 mode)
{
	struct uffdio_register reg = {
		.range = { (uintptr_t)addr, len },
		.mode = mode,
	};

	return ioctl(uffd, UFFDIO_REGISTER, &reg);
}

static long delist(int uffd, char *addr, size_t len)
{
	struct uffdio_range range = { (uintptr_t)addr, len };

	return ioctl(uffd, UFFDIO_UNREGISTER, &range);
}

static long register_missing(struct thread *t)
{
	struct area a = some_area(t);

	return enlist(t->uffd, a.addr, a.len, UFFDIO_REGISTER_MODE_MISSING);
}

static long register_wp(struct thread *t)
{
	struct area a = some_area(t);

	return enlist(one_in(t, 2) ? t->uffd : t->uffd_async, a.addr, a.len,
		      UFFDIO_REGISTER_MODE_WP);
}

static long unregister(struct thread *t)
{
	struct area a = some_huge_area(t);

	return delist(one_in(t, 2) ? t->uffd : t->uffd_async, a.addr, a.len);
}

static long wp(int uffd, char *addr, size_t len, bool protect)
{
	struct uffdio_writeprotect arg = {
		.range = { (uintptr_t)addr, len },
		.mode = protect ? UFFDIO_WRITEPROTECT_MODE_WP : 0,
	};

	return ioctl(uffd, UFFDIO_WRITEPROTECT, &arg);
}

static long wp_some(struct thread *t)
{
	const int uffd = one_in(t, 2) ? t->uffd : t->uffd_async;
	struct area a = some_area(t);

	if (a.len > 64 * page_size)
		a.len = 64 * page_size;
	if (one_in(t, 4))
		mmap(a.addr, a.len, PROT_READ | PROT_WRITE, MAP_PRIVATE |
		     MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	if (one_in(t, 2))
		enlist(uffd, a.addr, a.len, UFFDIO_REGISTER_MODE_WP);
	return wp(uffd, a.addr, a.len, one_in(t, 2));
}

/* Memory of the thread itself, registered. */
static long own(struct thread *t, int uffd, size_t len, __u64 mode)
{
	char *addr = lab(t);

	if (mmap(addr, len, PROT_READ | PROT_WRITE, MAP_PRIVATE |
		 MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED)
		return -1;
	return enlist(uffd, addr, len, mode);
}

/* A write has to fail in between, if there is memory at all. */
static long wp_own(struct thread *t)
{
	const size_t len = (1 + below(t, 256)) * page_size;
	char *addr = lab(t);
	long ret;

	if (own(t, t->uffd, len, UFFDIO_REGISTER_MODE_WP))
		return -1;
	touch(addr, len, true, 1);
	fill_all(t, addr, len);
	ret = wp(t->uffd, addr, len, true);
	touch(addr, page_size, true, 2);
	fill_all(t, addr, len);
	if (!ret)
		ret = wp(t->uffd, addr, len, false);
	touch(addr, len, true, 2);
	munmap(addr, len);
	return ret;
}

static long rwp_own(struct thread *t)
{
	const size_t len = (1 + below(t, 256)) * page_size;
	char *addr = lab(t);
	struct uffdio_rwprotect arg = {
		.range = { (uintptr_t)addr, len },
		.mode = UFFDIO_RWPROTECT_MODE_RWP,
	};
	const int uffd = one_in(t, 2) ? t->uffd : t->uffd_async;
	long ret;

	if (own(t, uffd, len, UFFDIO_REGISTER_MODE_RWP))
		return -1;
	touch(addr, len, true, 1);
	fill_all(t, addr, len);
	ret = ioctl(uffd, UFFDIO_RWPROTECT, &arg);
	touch(addr, page_size, one_in(t, 2), 2);
	arg.mode = 0;
	if (!ret)
		ret = ioctl(uffd, UFFDIO_RWPROTECT, &arg);
	touch(addr, len, true, 2);
	munmap(addr, len);
	return ret;
}

static long copy_own(struct thread *t)
{
	static char from[1 << 16] __attribute__((aligned(1 << 16)));
	struct uffdio_copy copy = {
		.dst = (uintptr_t)lab(t),
		.src = (uintptr_t)from,
		.len = page_size,
	};
	struct uffdio_zeropage zero = {
		.range = { (uintptr_t)lab(t) + page_size, page_size },
	};
	long ret;

	if (own(t, t->uffd, 2 * page_size, UFFDIO_REGISTER_MODE_MISSING))
		return -1;
	touch(lab(t), 2 * page_size, true, 1);
	ret = ioctl(t->uffd, UFFDIO_COPY, &copy) ||
	      ioctl(t->uffd, UFFDIO_ZEROPAGE, &zero) ? -1 : 0;
	fill_all(t, lab(t), 2 * page_size);
	touch(lab(t), 2 * page_size, true, 1);
	munmap(lab(t), 2 * page_size);
	return ret;
}

/* Pages, or huge ones. */
static long uffd_move(struct thread *t)
{
	const bool huge = one_in(t, 3);
	const size_t len = huge ? huge_size : (1 + below(t, 64)) * page_size;
	char *from = lab(t) + 2 * huge_size;
	struct uffdio_move arg = {
		.dst = (uintptr_t)lab(t),
		.src = (uintptr_t)from,
		.len = len,
	};
	long ret;

	if (own(t, t->uffd, len, UFFDIO_REGISTER_MODE_MISSING) ||
	    mmap(from, len, PROT_READ | PROT_WRITE, MAP_PRIVATE |
		 MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED)
		return -1;
	madvise(from, len, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
	touch(from, len, true, 3);
	fill_all(t, from, len);
	ret = ioctl(t->uffd, UFFDIO_MOVE, &arg);
	fill_all(t, lab(t), len);
	munmap(lab(t), LAB_SIZE);
	return ret;
}

static long continue_own(struct thread *t)
{
	char *addr = lab(t);
	struct uffdio_continue arg = {
		.range = { (uintptr_t)addr, 4 * page_size },
	};
	long ret;

	if (mmap(addr, 4 * page_size, PROT_READ | PROT_WRITE, MAP_SHARED |
		 MAP_FIXED, files[FILE_MEMFD], 0) == MAP_FAILED)
		return -1;
	touch(addr, 4 * page_size, true, 1);
	if (enlist(t->uffd, addr, 4 * page_size, UFFDIO_REGISTER_MODE_MINOR))
		return -1;
	madvise(addr, 4 * page_size, MADV_DONTNEED);
	ret = ioctl(t->uffd, UFFDIO_CONTINUE, &arg);
	fill_all(t, addr, 4 * page_size);
	munmap(addr, 4 * page_size);
	return ret;
}

/* What was written is found, and protected in the same go. */
static long scan(struct thread *t, char *addr, size_t len, __u64 flags)
{
	static struct page_region regions[4];
	struct pm_scan_arg arg = {
		.size = sizeof(arg),
		.flags = flags,
		.start = (uintptr_t)addr,
		.end = (uintptr_t)addr + len,
		.vec = (uintptr_t)regions,
		.vec_len = ARRAY_SIZE(regions),
		.category_mask = PAGE_IS_WRITTEN,
		.return_mask = PAGE_IS_WRITTEN,
	};
	int fd = openat(t->proc, "pagemap", O_RDONLY | O_CLOEXEC);
	long ret;

	if (fd < 0)
		return -1;
	ret = ioctl(fd, PAGEMAP_SCAN, &arg);
	close(fd);
	return ret;
}

static long scan_own(struct thread *t)
{
	const size_t len = (1 + below(t, 256)) * page_size;
	long ret;

	if (own(t, t->uffd_async, len, UFFDIO_REGISTER_MODE_WP))
		return -1;
	touch(lab(t), len, true, 1);
	fill_all(t, lab(t), len);
	ret = scan(t, lab(t), len, PM_SCAN_WP_MATCHING | PM_SCAN_CHECK_WPASYNC);
	touch(lab(t), len, true, 2);
	fill_all(t, lab(t), len);
	munmap(lab(t), len);
	return ret;
}

static long scan_some(struct thread *t)
{
	struct area a = some_area(t);

	return scan(t, a.addr, a.len, one_in(t, 2) ? PM_SCAN_WP_MATCHING : 0);
}

const struct op ops_uffd[] = {
	{ "uffd, missing", 3, register_missing },
	{ "uffd, WP", 4, register_wp, absent_wp },
	{ "uffd, unregister", 6, unregister },
	{ "UFFDIO_WRITEPROTECT", 5, wp_some, absent_wp },
	{ "UFFDIO_WRITEPROTECT, own", 5, wp_own, absent_wp },
	{ "UFFDIO_RWPROTECT, own", 4, rwp_own, absent_rwp },
	{ "UFFDIO_COPY, own", 3, copy_own },
	{ "UFFDIO_MOVE, own", 5, uffd_move },
	{ "UFFDIO_CONTINUE, own", 2, continue_own, absent_minor },
	{ "PAGEMAP_SCAN, own", 4, scan_own, absent_async },
	{ "PAGEMAP_SCAN", 4, scan_some },
	{ }
};
