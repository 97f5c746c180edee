// SPDX-License-Identifier: GPL-2.0
/* Files that several processes have mapped lose pages, and become clean. */
#include <linux/fs.h>

#include "stress.h"

static long truncate_to(struct thread *t, int fd, size_t unit, size_t size)
{
	long ret = ftruncate(fd, below(t, size / unit) * unit +
			     (unit == page_size ? below(t, page_size) : 0));

	if (ftruncate(fd, size))
		return -1;
	return ret;
}

static long truncate_file(struct thread *t)
{
	return truncate_to(t, files[below(t, 2)], page_size, FILE_SIZE);
}

static long punch(struct thread *t, int fd, size_t unit, size_t size)
{
	off_t start = below(t, size / unit) * unit;
	size_t len = (1 + below(t, one_in(t, 4) ? 1024 : 16)) * unit;

	if (len > size - start)
		len = size - start;
	return fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, start,
			 len);
}

static long punch_file(struct thread *t)
{
	return punch(t, files[below(t, 2)], page_size, FILE_SIZE);
}

/* The disk has no holes, but pages of it are thrown away. */
static long zero_disk(struct thread *t)
{
	__u64 range[2] = {
		below(t, FILE_SIZE / page_size - 64) * page_size,
		(1 + below(t, 64)) * page_size,
	};

	return ioctl(files[FILE_DISK], BLKZEROOUT, range);
}

static long punch_hugetlb(struct thread *t)
{
	return punch(t, huge_file, huge_size, 4 * huge_size);
}

static long truncate_hugetlb(struct thread *t)
{
	return truncate_to(t, huge_file, huge_size, 4 * huge_size);
}

/* Dirty pages are made read-only to be written. */
static long write_back(struct thread *t)
{
	(void)t;
	return fdatasync(files[FILE_DISK]);
}

static long sync_some(struct thread *t)
{
	struct area a = some_area(t);

	return msync(a.addr, a.len, MS_SYNC) && errno != ENOMEM ? -1 : 0;
}

/* The page cache without what is mapped, or dirty. */
static long drop_cache(struct thread *t)
{
	(void)t;
	return posix_fadvise(files[FILE_DISK], 0, 0, POSIX_FADV_DONTNEED);
}

static long read_write_file(struct thread *t)
{
	struct area a = some_area(t);
	int fd = files[below(t, NR_FILES)];
	off_t offset = below(t, FILE_SIZE / page_size) * page_size;
	size_t len = a.len < 16 * page_size ? a.len : 16 * page_size;
	ssize_t n;

	/* Memory that is not there is no failure of this. */
	n = one_in(t, 2) ? pread(fd, a.addr, len, offset) :
			   pwrite(fd, a.addr, len, offset);
	return n < 0 && errno != EFAULT ? -1 : 0;
}

const struct op ops_file[] = {
	{ "ftruncate", 6, truncate_file },
	{ "punch a hole", 8, punch_file },
	{ "BLKZEROOUT", 3, zero_disk },
	{ "punch a hole, hugetlb", 3, punch_hugetlb },
	{ "ftruncate, hugetlb", 2, truncate_hugetlb },
	{ "fdatasync, disk", 5, write_back },
	{ "msync", 5, sync_some },
	{ "fadvise, disk", 3, drop_cache },
	{ "read or write a file", 8, read_write_file },
	{ }
};
