// SPDX-License-Identifier: GPL-2.0
/*
 * Preloaded into the programs of make peers: attaches the software device to the
 * address space of each process, and lets it access memory just before the program
 * changes the mapping of it. What the device was told, and whether it had a page when
 * that was freed, is a line per process in /run/peers-device.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "test_mmu_notifier_uapi.h"

#define PAGE		4096UL
/* Of what is changed in one go; more only takes time. */
#define MOST		0x100000UL
/* Programs count on the numbers of their own files. */
#define FIRST_FD	700

static int device = -1;

static void attach(void)
{
	struct stlb_attach attach = {
		.mode = STLB_MODE_INVALIDATE_RANGE, .entries = 1024
	};
	int fd, saved = errno;

	/* After fork(), it is the parent's. */
	if (device >= 0)
		close(device);
	device = -1;
	fd = open("/dev/mmu_notifier_test", O_RDWR | O_CLOEXEC);
	if (fd >= 0) {
		device = fcntl(fd, F_DUPFD_CLOEXEC, FIRST_FD);
		close(fd);
	}
	if (device >= 0 && ioctl(device, STLB_ATTACH, &attach)) {
		close(device);
		device = -1;
	}
	errno = saved;
}

static void report(void)
{
	struct stlb_counters count;
	char line[128];
	int fd, len, saved = errno;

	if (device < 0 || ioctl(device, STLB_SETTLE) ||
	    ioctl(device, STLB_READ, &count))
		return;
	len = snprintf(line, sizeof(line), "%llu %llu %llu\n", count.calls,
		       count.fills, count.stale + count.table_stale);
	fd = open("/run/peers-device", O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC,
		  0666);
	if (fd >= 0) {
		if (write(fd, line, len) != len)
			perror("/run/peers-device");
		close(fd);
	}
	errno = saved;
}

static void access_memory(void *addr, size_t len)
{
	struct stlb_range range = {
		.start = (unsigned long)addr,
		.len = len < MOST ? (len + PAGE - 1) & -PAGE : MOST,
	};
	int saved = errno;

	if (device >= 0)
		ioctl(device, STLB_FILL, &range);
	errno = saved;
}

__attribute__((constructor)) static void begin(void)
{
	attach();
	pthread_atfork(NULL, NULL, attach);
}

__attribute__((destructor)) static void end(void)
{
	report();
}

void _exit(int status)
{
	report();
	for (;;)
		syscall(SYS_exit_group, status);
}

int munmap(void *addr, size_t len)
{
	access_memory(addr, len);
	return syscall(SYS_munmap, addr, len);
}

int mprotect(void *addr, size_t len, int prot)
{
	access_memory(addr, len);
	return syscall(SYS_mprotect, addr, len, prot);
}

int madvise(void *addr, size_t len, int advice)
{
	access_memory(addr, len);
	return syscall(SYS_madvise, addr, len, advice);
}

void *mremap(void *addr, size_t old_len, size_t new_len, int flags, ...)
{
	void *new_addr;
	va_list args;

	va_start(args, flags);
	new_addr = va_arg(args, void *);
	va_end(args);
	access_memory(addr, old_len);
	return (void *)syscall(SYS_mremap, addr, old_len, new_len, flags,
			       new_addr);
}
