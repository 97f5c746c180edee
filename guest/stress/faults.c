// SPDX-License-Identifier: GPL-2.0
/*
 * What process 1 does to the others: it starts them, looks what their devices
 * saw when they have ended, kills them, takes memory away.
 */
#include <dirent.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/swap.h>
#include <sys/wait.h>

#include "stress.h"

#define MEMORY	"/sys/devices/system/memory/"

static const __u32 kept_modes[] = {
	STLB_MODE_INVALIDATE_RANGE | STLB_MODE_START_END,
	STLB_MODE_TWO_STEPS | STLB_MODE_START_END,
	STLB_MODE_INVALIDATE_RANGE,
	STLB_MODE_TWO_STEPS,
};

/* Process 1 has them open, too, and looks at them when the process has ended. */
static int kept[MAX_SLOTS][NR_KEPT];

static void open_kept(struct slot *slot, unsigned int slot_nr)
{
	__u64 rng = seed_of(slot_nr, slot->generation, 1000);
	int nr = slot->kind == SLOT_CONTROL ? 1 : NR_KEPT;

	for (int i = 0; i < NR_DEVS; i++)
		slot->devs[i] = (struct dev){ .fd = -1 };
	for (int i = 0; i < NR_KEPT; i++)
		kept[slot_nr][i] = -1;
	for (int i = 0; i < nr; i++) {
		struct dev *dev = &slot->devs[i];

		dev_open(dev);
		if (dev->fd < 0)
			fail("/dev/mmu_notifier_test: %s", strerror(errno));
		kept[slot_nr][i] = dev->fd;
		dev->control = slot->kind == SLOT_CONTROL;
		dev->mode = kept_modes[i + 2 * (rnd(&rng) % 4 == 0)];
		if (dev->control)
			dev->mode = STLB_MODE_START_END;
		dev->entries = 64 << rnd(&rng) % 8;
		if (dev->mode & STLB_MODE_TWO_STEPS)
			dev->latency = rnd(&rng) % 4 * 10000;
	}
}

void start_slot(unsigned int slot_nr, enum slot_kind kind)
{
	struct slot *slot = &shared->slots[slot_nr];
	pid_t pid;

	slot->kind = kind;
	slot->dev_lock = 0;
	memset(slot->now, 0, sizeof(slot->now));
	open_kept(slot, slot_nr);
	pid = fork();
	if (pid < 0) {
		fail("fork: %s", strerror(errno));
		return;
	}
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		/* What process 1 has is not passed on. */
		write_file("/proc/self/oom_score_adj", "0");
		for (int i = 0; i < MAX_SLOTS; i++) {
			for (int j = 0; i != (int)slot_nr && j < NR_KEPT; j++) {
				if (shared->slots[i].pid && kept[i][j] >= 0)
					close(kept[i][j]);
			}
		}
		if (kind == SLOT_EATER)
			run_eater(slot_nr);
		else
			run_worker(slot_nr);
		_exit(99);
	}
	slot->pid = pid;
}

/*
 * Whether a device has nothing cached. The memory may outlive its process while
 * another has it, for process_madvise() or reclaim, and then goes without a word.
 */
static bool gets_empty(const struct dev *dev, struct stlb_counters *c)
{
	for (int i = 0; i < 1000; i++) {
		if (ioctl(dev->fd, STLB_READ, c) ||
		    (!c->cached && !c->table_cached))
			return true;
		sleep_ms(10);
	}
	return false;
}

/* The process has ended, and its devices have to notice. */
void end_slot(unsigned int slot_nr, int status)
{
	struct slot *slot = &shared->slots[slot_nr];
	struct stlb_counters c;

	if (WIFEXITED(status) && WEXITSTATUS(status))
		fail("process %u exited with %d", slot_nr, WEXITSTATUS(status));
	if (WIFSIGNALED(status) && WTERMSIG(status) != SIGKILL)
		fail("process %u was killed by signal %d", slot_nr,
		     WTERMSIG(status));
	begin_op(&shared->now, op_number("quiet point"), slot->generation);
	if (shared->compacts == slot->pid)
		shared->compacts = 0;
	slot->pid = 0;
	slot->dev_lock = 0;
	for (int i = 0; i < NR_KEPT; i++) {
		struct dev *dev = &slot->devs[i];

		/* That the process has closed it is nothing to us. */
		dev->fd = kept[slot_nr][i];
		if (dev->fd < 0)
			continue;
		if (!dev->control && !gets_empty(dev, &c))
			fail("process %u ended, device %d has %llu pages, %llu tables",
			     slot_nr, i, c.cached, c.table_cached);
		/* Its entries may be freed later. */
		ioctl(dev->fd, STLB_SETTLE);
		dev_close(slot, dev);
	}
	slot->generation++;
	shared->now.since = 0;
}

/* Eats memory until it is killed, while devices access what it eats. */
void run_eater(unsigned int slot_nr)
{
	struct slot *slot = &shared->slots[slot_nr];
	struct thread t = {
		.rng = seed_of(slot_nr, slot->generation, 0),
	};
	const bool global = slot->generation % 4 == 3;
	size_t len = ARENA_SIZE;

	catch_signals();
	write_file("/proc/self/oom_score_adj", "1000");
	if (!global)
		enter_cgroup("eater");
	for (int i = 0; i < NR_KEPT; i++) {
		if (dev_attach(&slot->devs[i]))
			_exit(errno == ENOMEM ? 0 : 99);
		dev_threads(&slot->devs[i], 1, i);
	}
	mmap(ARENA, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS |
	     MAP_FIXED, -1, 0);
	if (one_in(&t, 2))
		madvise(ARENA, len, MADV_HUGEPAGE);
	/* What cannot be compressed or reclaimed is eaten up sooner. */
	if (global)
		mlockall(MCL_CURRENT | MCL_FUTURE);
	for (;;) {
		touch(ARENA, ARENA_SIZE, true, 1);
		if (global) {
			char *more = mmap(NULL, 16 << 20, PROT_READ |
					  PROT_WRITE, MAP_PRIVATE |
					  MAP_ANONYMOUS, -1, 0);

			if (more != MAP_FAILED)
				touch(more, 16 << 20, true, 1);
		}
	}
}

__u64 oom_kills(void)
{
	char line[128];
	FILE *in = fopen("/proc/vmstat", "r");
	__u64 kills = 0;

	while (in && fgets(line, sizeof(line), in)) {
		if (!strncmp(line, "oom_kill ", 9))
			kills = strtoull(line + 9, NULL, 0);
	}
	if (in)
		fclose(in);
	return kills;
}

static struct slot *some_worker(__u64 *rng)
{
	const unsigned int first = rnd(rng) % MAX_SLOTS;

	for (unsigned int i = first; i < first + MAX_SLOTS; i++) {
		struct slot *slot = &shared->slots[i % MAX_SLOTS];

		if (slot->pid && slot->kind == SLOT_WORKER)
			return slot;
	}
	return NULL;
}

static int killed_worker(__u64 *rng)
{
	struct slot *slot = some_worker(rng);
	int pidfd;

	if (!slot)
		return -1;
	pidfd = syscall(SYS_pidfd_open, slot->pid, 0);
	if (pidfd >= 0)
		syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0);
	return pidfd;
}

static __u64 *disturb_rng;

static long do_kill(struct thread *t)
{
	int pidfd = killed_worker(disturb_rng);

	(void)t;
	if (pidfd >= 0)
		close(pidfd);
	return 0;
}

/* Its memory is taken away before it has come to its own end. */
static long do_mrelease(struct thread *t)
{
	int pidfd = killed_worker(disturb_rng);
	long ret;

	(void)t;
	if (pidfd < 0) {
		errno = ESRCH;
		return -1;
	}
	/* It may have to get as far as to its end first. */
	for (int i = 0; i < 100; i++) {
		ret = syscall(SYS_process_mrelease, pidfd, 0);
		if (!ret || errno != EAGAIN)
			break;
		sleep_ms(1);
	}
	close(pidfd);
	return ret;
}

static long see_oom_kill(struct thread *t)
{
	static __u64 before;
	const __u64 now = oom_kills();
	const long ret = now > before ? 0 : -1;

	/* The kill was some time since the last look. */
	(void)t;
	before = now;
	return ret;
}

/* In a process of its own, as it may take long. */
static long in_child(long (*fn)(void))
{
	int status, error = EINTR;
	pid_t pid = fork();

	if (!pid) {
		signal(SIGALRM, SIG_DFL);
		alarm(10);
		_exit(fn() ? errno : 0);
	}
	if (pid < 0)
		return -1;
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (WIFEXITED(status))
		error = WEXITSTATUS(status);
	errno = error;
	return error ? -1 : 0;
}

static char block[300];		/* that was made offline, or may be */

static bool find_block(__u64 nr)
{
	DIR *dir = opendir(MEMORY);
	struct dirent *entry;
	char path[350], zones[64] = "";
	__u64 found = 0;
	int fd;

	if (!dir)
		return false;
	/* One that has nothing but pages that can be moved away. */
	for (int pass = 0; pass < 2; pass++) {
		rewinddir(dir);
		while ((entry = readdir(dir))) {
			if (strncmp(entry->d_name, "memory", 6))
				continue;
			snprintf(path, sizeof(path), MEMORY "%s/valid_zones",
				 entry->d_name);
			fd = open(path, O_RDONLY);
			if (fd < 0)
				continue;
			zones[0] = 0;
			if (read(fd, zones, sizeof(zones) - 1) < 0)
				zones[0] = 0;
			close(fd);
			if (strncmp(zones, "Movable", 7))
				continue;
			found += !pass;
			if (!pass || nr--)
				continue;
			snprintf(block, sizeof(block), MEMORY "%s/state",
				 entry->d_name);
			closedir(dir);
			return true;
		}
		if (!found)
			break;
		nr %= found;
	}
	closedir(dir);
	return false;
}

static long block_offline(void)
{
	return write_file(block, "offline") ? 0 : -1;
}

static const char *no_block(void)
{
	const int i = op_number("memory offline");

	if (!find_block(0))
		return "no memory block is movable";
	/* A page that cannot be moved now is tried until the time is over. */
	return shared->ops[i].last_errno == EBUSY ?
	       "the kernel has pages of its own in the blocks" : NULL;
}

static long do_offline(struct thread *t)
{
	const __u64 first = rnd(disturb_rng);
	long ret = -1;

	/* The kernel itself has pages in some, from before it divided them. */
	(void)t;
	errno = ENODEV;
	for (__u64 i = first; ret && i < first + 4 && find_block(i); i++)
		ret = in_child(block_offline);
	if (!ret) {
		sleep_ms(200);
		write_file(block, "online_movable");
	}
	return ret;
}

static long swap_off(void)
{
	return swapoff("/dev/zram0");
}

static long do_swapoff(struct thread *t)
{
	const long ret = in_child(swap_off);
	const int error = errno;

	(void)t;
	/* What is killed at its very end has succeeded, too. */
	if (!swapon("/dev/zram0", 0))
		return 0;
	if (errno != EBUSY)
		fail("swapon: %s", strerror(errno));
	errno = error;
	return ret;
}

static long do_reclaim(struct thread *t)
{
	(void)t;
	return write_file("/tmp/cgroup/busy/memory.reclaim", "4M") ||
	       errno == EAGAIN ? 0 : -1;
}

static long do_split(struct thread *t)
{
	(void)t;
	return write_file("/sys/kernel/debug/split_huge_pages", "1") ? 0 : -1;
}

static long do_unmerge(struct thread *t)
{
	long ret = write_file("/sys/kernel/mm/ksm/run", "2") ? 0 : -1;

	(void)t;
	write_file("/sys/kernel/mm/ksm/run", "1");
	return ret;
}

static long do_lru_gen(struct thread *t)
{
	(void)t;
	return write_file("/sys/kernel/mm/lru_gen/enabled",
			  rnd(disturb_rng) % 2 ? "y" : "n") ? 0 : -1;
}

static long nothing(struct thread *t)
{
	(void)t;
	return 0;
}

/* The weight is for disturb(). */
const struct op ops_init[] = {
	{ "memory.reclaim", 6, do_reclaim },
	{ "memory offline", 2, do_offline, no_block },
	{ "process_mrelease", 4, do_mrelease },
	{ "swapoff", 1, do_swapoff },
	{ "split_huge_pages", 3, do_split, no_thp },
	{ "KSM, unmerge all", 1, do_unmerge },
	{ "lru_gen", 1, do_lru_gen },
	{ "kill", 2, do_kill },
	{ "OOM kill", 3, see_oom_kill },
	{ "quiet point", 0, nothing },
	{ }
};

/* One of them: each at first, then any. */
void disturb(__u64 *rng, __u64 nr)
{
	static const struct op *first = ops_init;
	const struct op *op = first;
	unsigned int total = 0, left;
	__u64 begin;
	int i;

	if (op->weight) {
		first++;
	} else {
		for (op = ops_init; op->weight; op++)
			total += op->weight;
		left = rnd(rng) % total;
		for (op = ops_init; left >= op->weight; op++)
			left -= op->weight;
	}
	disturb_rng = rng;
	i = op_number(op->name);
	begin = begin_op(&shared->now, i, nr);
	end_op(&shared->now, i, begin, op->run(NULL));
}
