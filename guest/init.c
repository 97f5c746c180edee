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
#include <sys/wait.h>

#include "guest.h"

#define RAM_DISK	"/dev/ram0"

FILE *report;
const char *scenario = "init";

int main(int argc, char **argv)
{
	int status;
	pid_t pid;

	(void)argc;
	start_report();
	/* The kernel may have none. */
	mount("debugfs", "/sys/kernel/debug", "debugfs", 0, NULL);
	add_swap(RAM_DISK);

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
