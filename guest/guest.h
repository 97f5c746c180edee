/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the guest's programs share: they run as /init of a small initramfs, or
 * as root on any system, write a report, and end with the first error.
 */
#ifndef GUEST_H
#define GUEST_H

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/swap.h>
#include <termios.h>
#include <unistd.h>

#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))
#define TRACING		"/sys/kernel/tracing/"

/* The program defines both. */
extern FILE *report;
extern const char *scenario;	/* what an error is blamed on */

/* Ends the program, and the machine if that is all that it runs. */
static inline void __attribute__((noreturn)) quit(int status)
{
	if (fflush(report))
		status = 1;
	if (getpid() == 1) {
		tcdrain(fileno(report));
		/* A power off would need a driver. */
		reboot(RB_AUTOBOOT);
	}
	_exit(status);
}

static inline void __attribute__((noreturn, format(printf, 1, 2)))
die(const char *format, ...)
{
	va_list args;

	fprintf(report, "run: failed: %s: ", scenario);
	va_start(args, format);
	vfprintf(report, format, args);
	va_end(args);
	fputc('\n', report);
	quit(1);
}

static inline long check_call(long ret, const char *call)
{
	if (ret == -1)
		die("%s: %s", call, strerror(errno));
	return ret;
}

#define TRY(call)	check_call((long)(call), #call)

static inline void mount_all(void)
{
	static const char * const mounts[][2] = {
		{ "devtmpfs", "/dev" },
		{ "proc", "/proc" },
		{ "sysfs", "/sys" },
		{ "tmpfs", "/tmp" },
	};
	int fd;

	for (size_t i = 0; i < ARRAY_SIZE(mounts); i++) {
		mkdir(mounts[i][1], 0755);
		if (mount(mounts[i][0], mounts[i][1], mounts[i][0], 0, NULL) &&
		    errno != EBUSY)
			die("mount %s: %s", mounts[i][0], strerror(errno));
	}
	/* The kernel may have none. */
	mount("tracefs", TRACING, "tracefs", 0, NULL);

	/* An initramfs without /dev/console starts us with no files. */
	do {
		fd = open("/dev/console", O_RDWR);
	} while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		close(fd);
}

/*
 * Swap to a disk, if it is there. The header is as mkswap makes it: version 1, of
 * so many pages, and the name at the end.
 */
static inline void add_swap(const char *path)
{
	const size_t page = sysconf(_SC_PAGESIZE);
	char *header = calloc(1, page);
	unsigned int info[2] = { 1 };
	off_t size;
	int fd;

	fd = open(path, O_RDWR);
	if (fd < 0)
		return;
	size = TRY(lseek(fd, 0, SEEK_END));
	info[1] = size / page - 1;
	memcpy(header + 1024, info, sizeof(info));
	memcpy(header + page - 10, "SWAPSPACE2", 10);
	TRY(pwrite(fd, header, page, 0) == (ssize_t)page ? 0 : -1);
	TRY(fsync(fd));
	TRY(close(fd));
	TRY(swapon(path, 0));
	free(header);
}

/*
 * To be called first. The report of /init goes to the second serial port, apart
 * from the kernel's console, if there is one.
 */
static inline void start_report(void)
{
	FILE *port;
	int modem;

	report = stdout;
	if (getpid() != 1)
		return;

	mount_all();
	port = fopen("/dev/ttyS1", "w");
	if (!port)
		return;
	/* A port that is only a name in /dev has no modem lines. */
	if (ioctl(fileno(port), TIOCMGET, &modem))
		fclose(port);
	else
		report = port;
}

#endif /* GUEST_H */
