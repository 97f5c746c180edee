// SPDX-License-Identifier: GPL-2.0
/*
 * Stress mm under secondary TLBs, as /init of a guest.
 *
 * Processes with several threads do to their memory what programs can do to it,
 * at random, while devices (/dev/mmu_notifier_test, see
 * lib/test_mmu_notifier_uapi.h in the kernel tree) access it all the time, come
 * and go. Memory is short, allocations fail, processes are killed. No device may
 * see a page or page table freed while it has it cached, nor have anything
 * cached that differs from the page table when all is quiet.
 *
 * One process, the control, has a device with nothing but
 * invalidate_range_start() and invalidate_range_end(). It has to be caught.
 *
 * In the environment (on the kernel's command line) are STRESS_SECONDS,
 * STRESS_SEED, STRESS_WORKERS, and STRESS_HANG: after how many seconds an
 * operation counts as one that hangs. The report is in the kernel's log, in lines
 * that begin with "stress: "; the last one is
 *
 *	stress: N operations, M fills, 0 stale uses, control caught K
 *
 * Build: gcc -static -pthread -O2 -I <kernel tree>/lib -isystem <its headers>
 */
#include <dirent.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "stress.h"

#define PROGRESS_MS	10000
#define LONG_RUN	5000	/* operations; in how long is up to the host */
/* More of the same tell nothing. */
#define MAX_FAILURES	20
#define MAX_WORKERS	(MAX_SLOTS - 2)

struct shared *shared;
size_t page_size, huge_size;
const struct op *ops[MAX_OPS];
int nr_ops;

static unsigned int nr_workers;
static __u64 hang_ms;

void collect_ops(void)
{
	static const struct op * const all[] = {
		ops_map, ops_madvise, ops_file, ops_uffd, ops_process,
		ops_device,
	};

	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		for (const struct op *op = all[i]; op->name; op++)
			ops[nr_ops++] = op;
	}
}

int op_number(const char *name)
{
	for (int i = 0; i < MAX_OPS && ops[i]; i++) {
		if (!strcmp(ops[i]->name, name))
			return i;
	}
	return -1;
}

static void mount_all(void)
{
	static const char * const mounts[][2] = {
		{ "devtmpfs", "/dev" }, { "proc", "/proc" },
		{ "sysfs", "/sys" }, { "tmpfs", "/tmp" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(mounts); i++) {
		mkdir(mounts[i][1], 0755);
		mount(mounts[i][0], mounts[i][1], mounts[i][0], 0, NULL);
	}
}

static __u64 number_from(const char *name, __u64 otherwise)
{
	const char *text = getenv(name);

	return text && *text ? strtoull(text, NULL, 0) : otherwise;
}

static void say_file(const char *format, pid_t pid, const char *tid,
		     const char *name)
{
	char path[128], text[2048], *line, *save;
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), format, pid, tid, name);
	fd = open(path, O_RDONLY);
	if (fd < 0)
		return;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	text[n < 0 ? 0 : n] = 0;
	for (line = strtok_r(text, "\n", &save); line;
	     line = strtok_r(NULL, "\n", &save))
		say("    %s", line);
}

/* Where all threads of a process are. */
static void say_threads(pid_t pid)
{
	struct dirent *entry;
	char path[64];
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	dir = opendir(path);
	while (dir && (entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;
		say("  process %d thread %s:", pid, entry->d_name);
		say_file("/proc/%d/task/%s/%s", pid, entry->d_name, "syscall");
		say_file("/proc/%d/task/%s/%s", pid, entry->d_name, "stack");
	}
	if (dir)
		closedir(dir);
}

static bool is_hanging(const struct now *now)
{
	const __u64 since = now->since, ms = now_ms();

	return since && since < ms && ms - since >= hang_ms;
}

static bool hangs(void)
{
	bool found = false;

	if (is_hanging(&shared->now)) {
		fail("HANG: process 1, %s", ops[shared->now.op]->name);
		say_threads(1);
		found = true;
	}
	for (int i = 0; i < MAX_SLOTS; i++) {
		struct slot *slot = &shared->slots[i];
		bool told = false;

		for (int j = 0; slot->pid && j < MAX_THREADS; j++) {
			if (!is_hanging(&slot->now[j]))
				continue;
			fail("HANG: process %d thread %d operation %llu, %s",
			     i, j, slot->now[j].nr, ops[slot->now[j].op]->name);
			if (!told)
				say_threads(slot->pid);
			told = true;
		}
		found |= told;
	}
	if (found)
		write_file("/proc/sysrq-trigger", "w");
	return found;
}

static __u64 nr_operations(void)
{
	__u64 n = 0;

	for (int i = 0; i < MAX_OPS && ops[i]; i++)
		n += shared->ops[i].done;
	return n;
}

static __u64 nr_of(const struct op *kinds)
{
	int i = op_number(kinds->name);
	__u64 n = 0;

	for (; kinds->name; kinds++)
		n += shared->ops[i++].done;
	return n;
}

/* The devices that are open are counted when they are looked at. */
static void say_progress(__u64 begin)
{
	const __u64 s = (now_ms() - begin) / 1000;

	say("%3llu s: %llu operations, %llu fills, %llu calls, %llu pages seen freed",
	    s, nr_operations(), shared->fills, shared->calls, shared->freed);
	say("%3llu s: %llu map, %llu madv, %llu file, %llu uffd, %llu task, %llu dev, %llu other",
	    s, nr_of(ops_map), nr_of(ops_madvise), nr_of(ops_file),
	    nr_of(ops_uffd), nr_of(ops_process), nr_of(ops_device),
	    nr_of(ops_init));
	say("%3llu s: %llu devices, %llu quiet checks (%llu again), %llu signals, %llu OOM kills",
	    s, shared->attached, shared->checks, shared->check_retries,
	    shared->signals, oom_kills());
	say("%3llu s: %llu stale, control caught %llu", s, shared->stale,
	    shared->control);
}

static void reap(bool restart)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		for (int i = 0; i < MAX_SLOTS; i++) {
			struct slot *slot = &shared->slots[i];

			if (slot->pid != pid)
				continue;
			end_slot(i, status);
			if (restart && slot->kind != SLOT_EATER)
				start_slot(i, slot->kind);
		}
	}
}

static bool any_left(void)
{
	for (int i = 0; i < MAX_SLOTS; i++) {
		if (shared->slots[i].pid)
			return true;
	}
	return false;
}

static void __attribute__((noreturn)) end_run(void)
{
	/* The console may be behind. */
	sleep_ms(1000);
	reboot(RB_AUTOBOOT);
	_exit(1);
}

/* A process of its own, as process 1 may hang, too. */
static pid_t start_monitor(__u64 begin)
{
	__u64 last = begin;
	pid_t pid = fork();

	if (pid)
		return pid;
	for (;;) {
		sleep_ms(1000);
		if (now_ms() - last >= PROGRESS_MS) {
			last = now_ms();
			say_progress(begin);
		}
		if (hangs())
			end_run();
	}
}

static void run(__u64 begin)
{
	const unsigned int control = nr_workers, eater = nr_workers + 1;
	__u64 rng = seed_of(1, 2, 3), next_eater = begin + 3000, nr = 0;
	bool end = false;

	for (unsigned int i = 0; i < nr_workers; i++)
		start_slot(i, SLOT_WORKER);
	start_slot(control, SLOT_CONTROL);
	while (!end || any_left()) {
		sleep_ms(100 + rnd(&rng) % 400);
		reap(!end);
		if (shared->failures > MAX_FAILURES)
			return;
		if (now_ms() >= shared->end) {
			/* Those that do not end by themselves. */
			if (!end && shared->slots[eater].pid)
				kill(shared->slots[eater].pid, SIGKILL);
			end = true;
			continue;
		}
		if (!shared->slots[eater].pid && now_ms() >= next_eater) {
			start_slot(eater, SLOT_EATER);
			next_eater = now_ms() + 2000 + rnd(&rng) % 4000;
		}
		disturb(&rng, nr++);
	}
}

/* What is tried only a few times may fail each time. */
#define ENOUGH_TRIES	20

/* Whether each kind of operation succeeded that could. */
static bool say_table(bool long_run)
{
	bool good = true;

	say("operation                        done succeeded   ms each");
	for (int i = 0; i < MAX_OPS && ops[i]; i++) {
		const struct op_count *count = &shared->ops[i];
		const __u64 each = count->done ? count->ms / count->done : 0;
		const char *why = NULL;
		char note[128] = "";

		if (!count->ok && ops[i]->absent)
			why = ops[i]->absent();
		if (why) {
			snprintf(note, sizeof(note), "  not there: %s", why);
		} else if (!count->ok) {
			const bool bad = long_run || count->done >= ENOUGH_TRIES;

			snprintf(note, sizeof(note), "  %s: %s",
				 bad ? "NEVER" : "not yet", count->done ?
				 strerror(count->last_errno) : "not tried");
			good &= !bad;
		}
		say("%-28s %8llu  %8llu  %8llu%s", ops[i]->name, count->done,
		    count->ok, each, note);
	}
	return good;
}

int main(int argc, char **argv)
{
	pid_t monitor;
	__u64 begin;

	if (argc > 1 && !strcmp(argv[1], "exec-child"))
		return run_exec_child(argc, argv);
	if (argc > 1 && !strcmp(argv[1], "exec-end"))
		return 0;
	if (getpid() != 1)
		return 1;

	mount_all();
	page_size = sysconf(_SC_PAGESIZE);
	/* As large as what a page table maps, in kernels without THP, too. */
	huge_size = meminfo_kb("Hugepagesize") * 1024;
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (shared == MAP_FAILED || (long)huge_size <= 0) {
		say("failed: no memory, or no huge pages");
		end_run();
	}
	write_file("/proc/self/oom_score_adj", "-1000");
	shared->seed = number_from("STRESS_SEED", 1);
	nr_workers = number_from("STRESS_WORKERS", 2);
	if (nr_workers > MAX_WORKERS)
		nr_workers = MAX_WORKERS;
	hang_ms = number_from("STRESS_HANG", 120) * 1000;
	say("seed %llu, %u processes and a control", shared->seed, nr_workers);
	collect_ops();
	/* Those of process 1 are at the end of the table. */
	for (const struct op *op = ops_init; op->name; op++)
		ops[nr_ops + (op - ops_init)] = op;
	set_up();

	begin = now_ms();
	shared->end = begin + number_from("STRESS_SECONDS", 60) * 1000;
	monitor = start_monitor(begin);
	run(begin);
	kill(monitor, SIGKILL);
	say_progress(begin);
	if (!say_table(nr_operations() >= LONG_RUN))
		fail("an operation never succeeded");
	if (!shared->control)
		fail("the control was not caught");
	say("%llu operations, %llu fills, %llu stale uses, control caught %llu%s",
	    nr_operations(), shared->fills, shared->stale, shared->control,
	    shared->failed ? ", FAILED" : "");
	end_run();
}
