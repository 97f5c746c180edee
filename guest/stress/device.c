// SPDX-License-Identifier: GPL-2.0
/* The devices of a process, and what they must not see. */
#include "stress.h"

#define DEVICE	"/dev/mmu_notifier_test"

static const char * const event_names[] = {
	"start", "invalidate", "end", "release", "free", "STALE", "finish",
};

void dev_open(struct dev *dev)
{
	*dev = (struct dev){ .fd = open(DEVICE, O_RDWR) };
}

/* The mode, the size and what else there is are set by the caller. */
int dev_attach(struct dev *dev)
{
	struct stlb_attach attach = {
		.mode = dev->mode,
		.entries = dev->entries,
		.start = dev->start,
		.len = dev->len,
	};
	int ret;

	ret = ioctl(dev->fd, STLB_ATTACH, &attach);
	if (ret)
		return ret;
	dev->attached = true;
	add(shared->attached, 1);
	if (dev->latency)
		ioctl(dev->fd, STLB_LATENCY, &dev->latency);
	return 0;
}

/* An interval need not cover all of the arena. */
static bool in_reach(const struct dev *dev, __u64 start, __u64 len)
{
	return !dev->len ||
	       (start >= dev->start && start + len <= dev->start + dev->len);
}

int dev_threads(struct dev *dev, unsigned int nr, __u32 seed)
{
	struct stlb_threads threads = {
		.start = dev->len ? dev->start : (uintptr_t)ARENA,
		.len = dev->len ? dev->len : arena_size(),
		.nr = nr,
		.seed = seed,
	};

	return ioctl(dev->fd, STLB_THREADS, &threads);
}

int dev_hot(struct dev *dev, char *addr, size_t len)
{
	struct stlb_range range = { .start = (uintptr_t)addr, .len = len };

	if (len && !in_reach(dev, range.start, len)) {
		range.start = dev->start;
		range.len = dev->len < len ? dev->len : len;
	}
	return ioctl(dev->fd, STLB_HOT, &range);
}

int dev_fill(struct dev *dev, char *addr, size_t len)
{
	struct stlb_range range = { .start = (uintptr_t)addr, .len = len };

	if (!in_reach(dev, range.start, len))
		return 0;
	return ioctl(dev->fd, STLB_FILL, &range);
}

/* Let the devices that are there all the time access a range once. */
void fill_all(struct thread *t, char *addr, size_t len)
{
	for (int i = 0; i < NR_KEPT; i++) {
		if (t->slot->devs[i].attached)
			dev_fill(&t->slot->devs[i], addr, len);
	}
}

/* Evidence. */

static struct stlb_event events[8192];

static void say_event(const struct stlb_event *e)
{
	const char *name = e->type < ARRAY_SIZE(event_names) ?
			   event_names[e->type] : "?";

	char when[64];

	snprintf(when, sizeof(when), "%llu.%06llu seq %llu",
		 e->ns / 1000000000, e->ns / 1000 % 1000000, e->seq);
	say("  %s %-10s %#llx-%#llx pfn %#llx same %u differ %u event %u level %d%s%s",
	    when, name, e->start, e->end, e->pfn, e->same, e->differ, e->event,
	    e->level, e->flags & STLB_EVENT_LEAF ? " leaf" : "",
	    e->flags & STLB_EVENT_TABLE ? " table" : "");
}

/* The events before one that have to do with its addresses. */
static void say_history(size_t nr, size_t stale)
{
	size_t first = stale, found = 0;

	while (first && found < 24) {
		first--;
		found += events[first].start < events[stale].end &&
			 events[first].end > events[stale].start;
	}
	for (size_t i = first; i < nr && i <= stale + 20; i++) {
		if (events[i].start < events[stale].end &&
		    events[i].end > events[stale].start)
			say_event(&events[i]);
	}
}

static size_t read_events(struct dev *dev)
{
	size_t nr = 0;
	ssize_t n;

	while (nr < ARRAY_SIZE(events)) {
		n = read(dev->fd, &events[nr], sizeof(events) -
			 nr * sizeof(events[0]));
		if (n <= 0)
			break;
		nr += n / sizeof(events[0]);
	}
	return nr;
}

static void say_device(struct slot *slot, struct dev *dev)
{
	struct now *now;

	say("  seed %llu, process %td generation %u, device %td:", shared->seed,
	    slot - shared->slots, slot->generation, dev - slot->devs);
	say("  mode %#x, %u entries, interval %#llx+%#llx, latency %llu ns",
	    dev->mode, dev->entries, dev->start, dev->len, dev->latency);
	for (now = slot->now; now < slot->now + MAX_THREADS; now++) {
		if (now->tid)
			say("  thread %td: operation %llu, %s%s",
			    now - slot->now, now->nr, ops[now->op]->name,
			    now->since ? "" : " (done)");
	}
}

/* The first are enough. */
#define MAX_REPORTS	5

static void report_stale(struct slot *slot, struct dev *dev,
			 __u64 stale, __u64 table_stale)
{
	static const char same[] = "the same again";
	size_t nr, told = 0;

	fail("STALE: %llu pages and %llu page tables freed while in use%s",
	     stale, table_stale,
	     shared->failures >= MAX_REPORTS ? same : "");
	if (shared->failures > MAX_REPORTS)
		return;
	lock(&shared->report_lock);
	say_device(slot, dev);
	nr = read_events(dev);
	for (size_t i = 0; i < nr && told < 3; i++) {
		if (events[i].type != STLB_EVENT_STALE)
			continue;
		say("  history of %#llx-%#llx:", events[i].start,
		    events[i].end);
		say_history(nr, i);
		told++;
	}
	unlock(&shared->report_lock);
}

/*
 * Which entries they are is told by the start of a bracket: let one begin for
 * each page. This takes the memory with it.
 */
static void report_wrong(struct slot *slot, struct dev *dev, __u64 wrong)
{
	const __u64 start = dev->len ? dev->start : (uintptr_t)ARENA;
	const __u64 len = dev->len ? dev->len : arena_size();
	size_t nr, told = 0;

	fail("WRONG: %llu entries differ from the page table for good", wrong);
	if (shared->failures > MAX_REPORTS)
		return;
	lock(&shared->report_lock);
	say_device(slot, dev);
	nr = read_events(dev);
	for (size_t i = 0; i < nr; i++) {
		if (events[i].differ && i + 40 > nr)
			say_event(&events[i]);
	}
	for (__u64 addr = start; addr < start + len; addr += page_size) {
		madvise((void *)(uintptr_t)addr, page_size, MADV_DONTNEED);
		if ((addr & (huge_size - 1)) && addr + page_size < start + len)
			continue;
		nr = read_events(dev);
		for (size_t i = 0; i < nr && told < 16; i++) {
			if (events[i].type == STLB_EVENT_START &&
			    events[i].differ) {
				say_event(&events[i]);
				told++;
			}
		}
	}
	if (!told)
		say("  (a device without brackets does not tell which)");
	unlock(&shared->report_lock);
}

/* Take over what the counters say since the last time. */
void dev_account(struct slot *slot, struct dev *dev)
{
	struct stlb_counters c;
	__u64 stale, table_stale;

	if (dev->fd < 0 || ioctl(dev->fd, STLB_READ, &c))
		return;
	lock(&slot->dev_lock);
	add(shared->fills, c.fills - dev->seen.fills);
	add(shared->calls, c.calls - dev->seen.calls);
	add(shared->freed, c.freed - dev->seen.freed);
	stale = c.stale - dev->seen.stale;
	table_stale = c.table_stale - dev->seen.table_stale;
	dev->seen = c;
	unlock(&slot->dev_lock);
	if (!stale && !table_stale)
		return;
	if (dev->control) {
		add(shared->control, stale + table_stale);
		return;
	}
	add(shared->stale, stale + table_stale);
	report_stale(slot, dev, stale, table_stale);
}

void dev_close(struct slot *slot, struct dev *dev)
{
	if (dev->fd < 0)
		return;
	dev_account(slot, dev);
	close(dev->fd);
	dev->fd = -1;
	dev->attached = false;
}

/*
 * No thread of the process runs, and no thread of a device. The kernel still
 * reclaims, merges and migrates, and other processes truncate shared files: what
 * they are about to tell is no error, but must be told soon.
 */
void dev_check(struct slot *slot, struct dev *dev)
{
	__u64 wrong = 0;

	if (!dev->attached || dev->control)
		return;
	add(shared->checks, 1);
	for (int i = 0; i < 100; i++) {
		if (ioctl(dev->fd, STLB_CHECK, &wrong) || !wrong)
			return;
		add(shared->check_retries, 1);
		sleep_ms(5);
	}
	add(shared->stale, wrong);
	report_wrong(slot, dev, wrong);
}
