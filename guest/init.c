// SPDX-License-Identifier: GPL-2.0
/*
 * /init for a program that knows nothing of being the only one: mounts what it
 * needs, gives it swap space on the first RAM disk, runs /program with our own
 * arguments and environment (which the kernel takes from its command line), and
 * ends the machine. What the program says goes where guest.h reports to; the
 * last line is ours:
 *
 *	init: status S
 *
 * Build: gcc -static -O2
 */
#define _GNU_SOURCE
#include <stdbool.h>
#include <stdint.h>
#include <sys/swap.h>
#include <sys/wait.h>

#include "guest.h"

#define RAM_DISK	"/dev/ram0"

/* As mkswap does it: version 1, of so many pages, and the name at the end. */
static void make_swap(void)
{
	const size_t page = sysconf(_SC_PAGESIZE);
	char *header = calloc(1, page);
	unsigned int info[2] = { 1 };
	off_t size;
	int fd;

	fd = open(RAM_DISK, O_RDWR);
	if (fd < 0)
		return;
	size = TRY(lseek(fd, 0, SEEK_END));
	info[1] = size / page - 1;
	memcpy(header + 1024, info, sizeof(info));
	memcpy(header + page - 10, "SWAPSPACE2", 10);
	TRY(pwrite(fd, header, page, 0) == (ssize_t)page ? 0 : -1);
	TRY(close(fd));
	TRY(swapon(RAM_DISK, 0));
	free(header);
}

int main(int argc, char **argv)
{
	int status;
	pid_t pid;

	(void)argc;
	start_report();
	/* The kernel may have none. */
	mount("debugfs", "/sys/kernel/debug", "debugfs", 0, NULL);
	make_swap();

	pid = TRY(fork());
	if (!pid) {
		TRY(dup2(fileno(report), STDOUT_FILENO));
		TRY(dup2(fileno(report), STDERR_FILENO));
		argv[0] = "/program";
		TRY(execv(argv[0], argv));
	}
	/* Whoever lost its parent is ours, too. */
	while (TRY(wait(&status)) != pid)
		;
	fprintf(report, "init: status %#x\n", status);
	quit(status ? 1 : 0);
}
