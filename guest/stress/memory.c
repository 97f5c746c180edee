// SPDX-License-Identifier: GPL-2.0
/* Which memory to work on, and accesses to it that may go wrong. */
#include <signal.h>

#include "stress.h"

/* Where a bad access goes on. */
static __thread struct guard {
	sigjmp_buf here;
} *guard;

static __thread bool ignored;

/* A signal that is no bad access, but tells of one. */
void ignore_bus_errors(bool ignore)
{
	ignored = ignore;
}

/*
 * What is accessed need not be mapped, or may be gone for good. An error of
 * memory that is not in use is nothing to us.
 */
static void on_signal(int sig, siginfo_t *info, void *context)
{
	(void)context;
	if (sig == SIGBUS && ignored)
		return;
	if (guard)
		siglongjmp(guard->here, 1);
	if (sig == SIGBUS && info->si_code == BUS_MCEERR_AO)
		return;
	fail("signal %d, code %d, address %p", sig, info->si_code,
	     info->si_addr);
	_exit(99);
}

void catch_signals(void)
{
	struct sigaction action = {
		.sa_sigaction = on_signal,
		.sa_flags = SA_SIGINFO | SA_NODEFER,
	};

	sigaction(SIGSEGV, &action, NULL);
	sigaction(SIGBUS, &action, NULL);
}

bool guarded(void (*fn)(void *arg), void *arg)
{
	struct guard mine;

	if (sigsetjmp(mine.here, 0)) {
		guard = NULL;
		add(shared->signals, 1);
		return false;
	}
	guard = &mine;
	fn(arg);
	guard = NULL;
	return true;
}

struct access {
	char *addr;
	size_t len;
	bool write;
	unsigned int value;
};

/*
 * Pages with the same contents are there for KSM. They must not be all zero
 * every time.
 */
static void do_touch(void *arg)
{
	struct access *a = arg;

	for (size_t i = 0; i < a->len; i += page_size) {
		unsigned int *p = (void *)(a->addr + i);

		if (a->write)
			__atomic_store_n(p, a->value, __ATOMIC_RELAXED);
		else
			__atomic_load_n(p, __ATOMIC_RELAXED);
	}
}

bool touch(char *addr, size_t len, bool write, unsigned int value)
{
	struct access a = { addr, len, write, value };

	return guarded(do_touch, &a);
}

/* Mostly small, so that page tables and huge pages are cut anywhere. */
struct area some_area(struct thread *t)
{
	const size_t pages = ARENA_SIZE / page_size;
	size_t start = below(t, pages), n;

	switch (below(t, 8)) {
	case 0: case 1: case 2:
		n = 1;
		break;
	case 3: case 4:
		n = 1 + below(t, 16);
		break;
	case 5:
		n = 1 + below(t, huge_size / page_size);
		break;
	case 6:
		/* More than what a batch of the mmu_gather takes. */
		n = 1 + below(t, 4 * huge_size / page_size);
		break;
	default:
		return some_huge_area(t);
	}
	if (n > pages - start)
		n = pages - start;
	return (struct area){ ARENA + start * page_size, n * page_size };
}

/* Whole huge pages, or page tables. */
struct area some_huge_area(struct thread *t)
{
	const size_t huge = ARENA_SIZE / huge_size;
	size_t start = below(t, huge), n = 1 + below(t, 3);

	if (n > huge - start)
		n = huge - start;
	return (struct area){ ARENA + start * huge_size, n * huge_size };
}

char *lab(struct thread *t)
{
	return LABS + t->nr * LAB_SIZE;
}

size_t arena_size(void)
{
	return ARENA_SIZE + MAX_THREADS * LAB_SIZE;
}
