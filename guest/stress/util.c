// SPDX-License-Identifier: GPL-2.0
/* Words, numbers and locks. */
#include <stdarg.h>
#include <time.h>

#include "stress.h"

/*
 * The report goes through the kernel's log, where each line stays whole. Only
 * one write per line, so that processes may use it at the same time.
 */
static void vsay(const char *what, const char *format, va_list args)
{
	static int kmsg = -1;
	char line[512];
	int n;

	if (kmsg < 0)
		kmsg = open("/dev/kmsg", O_WRONLY | O_CLOEXEC);
	n = snprintf(line, sizeof(line), "<6>stress: %s", what);
	n += vsnprintf(line + n, sizeof(line) - n, format, args);
	if (n >= (int)sizeof(line))
		n = sizeof(line) - 1;
	/* When memory is short, it may fail. */
	for (int i = 0; i < 100 && write(kmsg, line, n) < 0; i++)
		sleep_ms(10);
}

void say(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsay("", format, args);
	va_end(args);
}

/* The run goes on, but it has failed. */
void fail(const char *format, ...)
{
	va_list args;

	if (shared) {
		shared->failed = true;
		add(shared->failures, 1);
	}
	va_start(args, format);
	vsay("failed: ", format, args);
	va_end(args);
}

__u64 now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000ull + ts.tv_nsec / 1000000;
}

void sleep_ms(unsigned int ms)
{
	struct timespec ts = { ms / 1000, ms % 1000 * 1000000l };

	nanosleep(&ts, NULL);
}

/* A generator whose numbers are mixed well from any state (splitmix64). */
__u64 rnd(__u64 *rng)
{
	__u64 z = *rng += 0x9e3779b97f4a7c15ull;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

__u64 seed_of(__u64 a, __u64 b, __u64 c)
{
	__u64 rng = shared->seed;

	rng = rnd(&rng) ^ a;
	rng = rnd(&rng) ^ b;
	rng = rnd(&rng) ^ c;
	return rnd(&rng);
}

bool write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool ok;

	if (fd < 0)
		return false;
	ok = write(fd, text, strlen(text)) == (ssize_t)strlen(text);
	close(fd);
	return ok;
}

/* -1 if there is none. */
long meminfo_kb(const char *what)
{
	FILE *in = fopen("/proc/meminfo", "r");
	char line[64], name[64];
	long n, kb = -1;

	while (in && kb < 0 && fgets(line, sizeof(line), in)) {
		if (sscanf(line, "%63[^:]: %ld kB", name, &n) == 2 &&
		    !strcmp(name, what))
			kb = n;
	}
	if (in)
		fclose(in);
	return kb;
}

const char *no_thp(void)
{
	return access("/sys/kernel/mm/transparent_hugepage", F_OK) ?
	       "no transparent huge pages" : NULL;
}

/* Whoever holds it may be killed: then it is taken away after a while. */
void lock(int *l)
{
	for (int i = 0; i < 5000; i++) {
		if (!__atomic_exchange_n(l, 1, __ATOMIC_ACQUIRE))
			return;
		sleep_ms(1);
	}
}

void unlock(int *l)
{
	__atomic_store_n(l, 0, __ATOMIC_RELEASE);
}
