// SPDX-License-Identifier: GPL-2.0
/*
 * Children, what /proc does to memory, migration between nodes, and errors of
 * memory.
 */
#include <signal.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <linux/mempolicy.h>
#include <linux/mman.h>

#include "stress.h"

/* A child has failed if it says so; it may be killed for lack of memory. */
static long wait_for(pid_t pid)
{
	int status;

	if (pid < 0)
		return -1;
	while (waitpid(pid, &status, 0) < 0) {
		if (errno != EINTR)
			return -1;
	}
	if (WIFEXITED(status) && WEXITSTATUS(status))
		errno = WEXITSTATUS(status);
	else if (WIFSIGNALED(status))
		errno = EINTR;
	return status ? -1 : 0;
}

/* What is written now is copied, by the parent or the child. */
static long fork_write(struct thread *t)
{
	struct area a = some_area(t), b = some_area(t);
	const bool write = one_in(t, 2);
	pid_t pid = fork();

	if (!pid) {
		touch(a.addr, a.len, write, 9);
		_exit(0);
	}
	touch(b.addr, b.len, true, 1);
	return wait_for(pid);
}

/*
 * All is quiet, and the devices may write to private pages of each size. The fork
 * takes that away, and has to have told when it is over: after that, it is the
 * next write that tells.
 */
static long fork_quiet(struct thread *t)
{
	char *const small = lab(t), *const huge = small + huge_size;
	char *const hugetlb = huge + huge_size;
	const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
	pid_t pid;

	if (mmap(small, 2 * huge_size, PROT_READ | PROT_WRITE, flags, -1, 0) ==
	    MAP_FAILED)
		return -1;
	madvise(huge, huge_size, MADV_HUGEPAGE);
	/* There may be none left. */
	mmap(hugetlb, huge_size, PROT_READ | PROT_WRITE, flags | MAP_HUGETLB,
	     -1, 0);
	for (int i = 0; i < 3; i++) {
		touch(small + i * huge_size, 16 * page_size, true, 1);
		fill_all(t, small + i * huge_size, 16 * page_size);
	}
	pid = fork();
	if (!pid)
		_exit(0);
	for (int i = 0; i < NR_DEVS; i++)
		dev_check(t->slot, &t->slot->devs[i]);
	munmap(small, 3 * huge_size);
	return wait_for(pid);
}

/* Its memory is that of the parent until it ends. */
static long vfork_exit(struct thread *t)
{
	pid_t pid;

	(void)t;
	pid = vfork();
	if (!pid)
		_exit(0);
	return wait_for(pid);
}

/*
 * A child with a device of its own ends with accesses of it in flight: by exit,
 * or since another program takes its place. That, or the parent, looks what the
 * device saw.
 */
static long fork_device(struct thread *t, bool exec)
{
	struct area a = some_area(t);
	struct dev dev;
	char number[16];
	const unsigned int delay = below(t, 8);
	pid_t pid;
	long ret;

	dev_open(&dev);
	if (dev.fd < 0)
		return -1;
	dev.mode = one_in(t, 2) ? STLB_MODE_TWO_STEPS :
		   STLB_MODE_INVALIDATE_RANGE | STLB_MODE_START_END;
	dev.entries = 16 << below(t, 8);
	dev.control = t->slot->kind == SLOT_CONTROL;
	if (dev.control)
		dev.mode = STLB_MODE_START_END;
	snprintf(number, sizeof(number), "%d", dev.fd);
	pid = fork();
	if (!pid) {
		char *const args[] = { "/init", "exec-child", number, NULL };

		if (dev_attach(&dev) || dev_threads(&dev, 1, delay))
			_exit(errno == ENOMEM ? ENOMEM : EIO);
		touch(a.addr, a.len, true, 5);
		dev_hot(&dev, a.addr, page_size);
		touch(LABS + 2 * LAB_SIZE, 16 * page_size, true, 5);
		sleep_ms(delay);
		munmap(a.addr, a.len);
		if (exec) {
			execv(args[0], args);
			_exit(errno);
		}
		_exit(0);
	}
	ret = wait_for(pid);
	dev_close(t->slot, &dev);
	return ret;
}

static long fork_device_exit(struct thread *t)
{
	return fork_device(t, false);
}

static long fork_device_exec(struct thread *t)
{
	return fork_device(t, true);
}

/* The program after the exec: the memory that the device had is gone. */
int run_exec_child(int argc, char **argv)
{
	struct stlb_counters c;
	int fd = argc > 2 ? atoi(argv[2]) : -1;

	if (ioctl(fd, STLB_READ, &c))
		return errno;
	return c.cached || c.table_cached ? ESTALE : 0;
}

static long write_proc(struct thread *t, const char *name, const char *text)
{
	int fd = openat(t->proc, name, O_WRONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return -1;
	n = write(fd, text, strlen(text));
	close(fd);
	return n < 0 ? -1 : 0;
}

static long clear_soft_dirty(struct thread *t)
{
	return write_proc(t, "clear_refs", "4");
}

static long clear_accessed(struct thread *t)
{
	return write_proc(t, "clear_refs", "1");
}

static long read_pagemap(struct thread *t)
{
	struct area a = some_area(t);
	__u64 map[64];
	int fd = openat(t->proc, "pagemap", O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return -1;
	n = pread(fd, map, sizeof(map),
		  (uintptr_t)a.addr / page_size * sizeof(map[0]));
	close(fd);
	return n;
}

/* As a debugger does, which may write what the program may not. */
static long write_mem(struct thread *t)
{
	struct area a = some_area(t);
	int fd = openat(t->proc, "mem", O_RDWR | O_CLOEXEC);
	long ret;

	if (fd < 0)
		return -1;
	ret = pwrite(fd, "debugged", 8, (uintptr_t)a.addr);
	close(fd);
	return ret;
}

static long write_mem_own(struct thread *t)
{
	char *addr = lab(t);
	int fd = openat(t->proc, "mem", O_RDWR | O_CLOEXEC);
	long ret = -1;

	if (fd < 0)
		return -1;
	if (mmap(addr, page_size, PROT_READ, MAP_PRIVATE | MAP_FIXED,
		 files[FILE_TMPFS], 0) != MAP_FAILED) {
		touch(addr, page_size, false, 0);
		fill_all(t, addr, page_size);
		ret = pwrite(fd, "debugged", 8, (uintptr_t)addr);
		munmap(addr, page_size);
	}
	close(fd);
	return ret;
}

static long copy_memory(struct thread *t)
{
	struct area a = some_area(t), b = some_area(t);
	struct iovec from = { a.addr, page_size }, to = { b.addr, page_size };

	return syscall(SYS_process_vm_readv, getpid(), &to, 1, &from, 1, 0);
}

static long compact(struct thread *t)
{
	static const char * const all = "/proc/sys/vm/compact_memory";
	pid_t nobody = 0;
	long ret;

	/* Several at a time wait for one another, for minutes. */
	(void)t;
	if (!__atomic_compare_exchange_n(&shared->compacts, &nobody, getpid(),
					 false, __ATOMIC_ACQUIRE,
					 __ATOMIC_RELAXED))
		return 0;
	ret = write_file(all, "1") ? 0 : -1;
	__atomic_store_n(&shared->compacts, 0, __ATOMIC_RELEASE);
	return ret;
}

static const char *one_node(void)
{
	return nr_nodes > 1 ? NULL : "there is one node only";
}

static long migrate_some(struct thread *t)
{
	const unsigned long mask = 1ul << below(t, 2);
	struct area a = some_area(t);

	return syscall(SYS_mbind, a.addr, a.len, MPOL_PREFERRED, &mask, 8,
		       MPOL_MF_MOVE) && errno != EFAULT ? -1 : 0;
}

static long move_single(struct thread *t)
{
	struct area a = some_area(t);
	int nodes[16], status[16], n;
	void *pages[16];

	for (n = 0; n < 16; n++) {
		pages[n] = a.addr + n * page_size;
		nodes[n] = below(t, 2);
	}
	return syscall(SYS_move_pages, 0, n, pages, nodes, status,
		       MPOL_MF_MOVE_ALL);
}

static long migrate_all(struct thread *t)
{
	const unsigned long nodes[] = { 1, 2 };
	const int from = below(t, 2);

	return syscall(SYS_migrate_pages, 0, 8, &nodes[from], &nodes[!from]);
}

/* An error of memory that is in use, and of which there must not be many. */
#define MAX_POISONED	64

static void make_good(__u64 pfn)
{
	char text[32];

	snprintf(text, sizeof(text), "%#llx", pfn);
	if (write_file("/sys/kernel/debug/hwpoison/unpoison-pfn", text))
		add(shared->poisoned, -1);
}

static long poison(struct thread *t, int advice)
{
	char *addr = lab(t);
	long ret = -1;
	const bool shmem = one_in(t, 3);
	const size_t len = one_in(t, 4) ? huge_size : 4 * page_size;
	__u64 entry = 0;
	bool tried = false;
	int fd, error = EBUSY;

	if (add(shared->poisoned, 1) >= MAX_POISONED) {
		add(shared->poisoned, -1);
		return 0;
	}
	if (mmap(addr, len, PROT_READ | PROT_WRITE, MAP_FIXED |
		 (shmem ? MAP_SHARED : MAP_PRIVATE) | MAP_ANONYMOUS, -1, 0) ==
	    MAP_FAILED)
		goto out;
	madvise(addr, len, MADV_HUGEPAGE);
	if (!touch(addr, len, true, 1))
		goto out_unmap;
	fill_all(t, addr, len);
	fd = openat(t->proc, "pagemap", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		goto out_unmap;
	if (pread(fd, &entry, sizeof(entry), (uintptr_t)addr / page_size *
		  sizeof(entry)) != sizeof(entry))
		entry = 0;
	close(fd);
	/* The signal comes whether the page was given up or not. */
	tried = true;
	ignore_bus_errors(true);
	ret = madvise(addr, page_size, advice);
	error = errno;
	ignore_bus_errors(false);
	touch(addr, len, false, 0);
out_unmap:
	munmap(addr, len);
out:
	if (!tried)
		add(shared->poisoned, -1);
	/* One that could not be given up stays bad, it may still be in use. */
	if (!ret && entry >> 63)
		make_good(entry & ((1ull << 55) - 1));
	errno = error;
	return ret;
}

static long lose_page(struct thread *t)
{
	return poison(t, MADV_HWPOISON);
}

static long retire_page(struct thread *t)
{
	return poison(t, MADV_SOFT_OFFLINE);
}

const struct op ops_process[] = {
	{ "fork", 10, fork_write },
	{ "fork, quiet", 0, fork_quiet },
	{ "vfork", 1, vfork_exit },
	{ "fork, device, exit", 4, fork_device_exit },
	{ "fork, device, exec", 3, fork_device_exec },
	{ "clear_refs, soft-dirty", 3, clear_soft_dirty },
	{ "clear_refs, accessed", 2, clear_accessed },
	{ "pagemap", 3, read_pagemap },
	{ "/proc/PID/mem", 4, write_mem },
	{ "/proc/PID/mem, own", 3, write_mem_own },
	{ "process_vm_readv", 3, copy_memory },
	{ "compact_memory", 2, compact },
	{ "mbind", 5, migrate_some, one_node },
	{ "move_pages", 5, move_single, one_node },
	{ "migrate_pages", 2, migrate_all, one_node },
	{ "MADV_HWPOISON", 1, lose_page },
	{ "MADV_SOFT_OFFLINE", 1, retire_page },
	{ }
};
