/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A timeline out of the kernel's trace events, with what a software device had
 * cached at each of them beside it (read() of /dev/mmu_notifier_test).
 */
#ifndef TIMELINE_H
#define TIMELINE_H

#include <stdbool.h>

#include "guest.h"
#include "test_mmu_notifier_uapi.h"

/* A trace buffer of our own, which leaves that of the system alone. */
#define TRACE		TRACING "instances/mmu_notifier/"

#define NO_EVENT	(-1)	/* the device does not know of it */

static const struct trace_event {
	const char *name, *step;
	int type;		/* of the device's event, that of a free tells more */
} trace_events[] = {
	{ "mmu_notifier_invalidate_range_start", "start", STLB_EVENT_START },
	{ "mmu_notifier_invalidate_range", "invalidate_range",
	  STLB_EVENT_INVALIDATE },
	{ "mmu_notifier_invalidate_range_end", "end", STLB_EVENT_END },
	{ "mm_page_free", "free", STLB_EVENT_FREE },
	{ "rss_stat", "clear", NO_EVENT },
	{ "tlb_flush", "flush", NO_EVENT },
};

static struct line {
	__u64 us;
	const char *step;
	bool late;		/* may come when the system call is over */
	char device[24], text[112];
} lines[64];

static size_t nr_lines;

/* The events of the device that are about the range that is shown. */
static struct stlb_event device_events[64];
static size_t nr_device_events;

static void read_device(int fd, __u64 start, __u64 end)
{
	struct stlb_event event;

	while (TRY(read(fd, &event, sizeof(event)))) {
		if (event.start >= end || event.end <= start)
			continue;
		if (nr_device_events == ARRAY_SIZE(device_events))
			die("there are more than %zu events", nr_device_events);
		device_events[nr_device_events++] = event;
	}
}

/* The next one of the device's events of a type, each of which is given once. */
static const struct stlb_event *next_event(int type)
{
	static size_t next[STLB_EVENT_STALE + 1];

	while (next[type] < nr_device_events) {
		const struct stlb_event *event = &device_events[next[type]++];

		if (event->type == (unsigned int)type)
			return event;
	}
	return NULL;
}

/* The page is not that of the range any more if it is freed another time. */
static const struct stlb_event *next_free(__u64 pfn)
{
	for (size_t i = 0; pfn && i < nr_device_events; i++) {
		struct stlb_event *event = &device_events[i];

		if (event->pfn == pfn) {
			event->pfn = 0;
			return event;
		}
	}
	return NULL;
}

static bool set_trace(const char *name, const char *value)
{
	int fd = open(name, O_WRONLY | O_TRUNC);
	const ssize_t len = strlen(value);
	bool done;

	if (fd < 0)
		return false;
	done = write(fd, value, len) == len;
	close(fd);
	return done;
}

static void stop_trace(void)
{
	set_trace(TRACE "tracing_on", "0");
	rmdir(TRACE);
}

/*
 * Trace what this task does to the range. Pages are not only freed by this
 * task, page tables never: all that are freed are traced. Returns false if the
 * kernel has no trace events of mmu notifiers. Others that it lacks are missing.
 */
static bool start_trace(__u64 start, __u64 end)
{
	char task[32], range[112];

	if (mkdir(TRACE, 0700) && errno != EEXIST)
		return false;
	snprintf(task, sizeof(task), "common_pid == %d", getpid());
	snprintf(range, sizeof(range), "%s && start < %#llx && end > %#llx",
		 task, end, start);
	set_trace(TRACE "events/kmem/rss_stat/filter", task);
	set_trace(TRACE "events/tlb/tlb_flush/filter", task);
	/* One that all CPUs agree on. */
	if (!set_trace(TRACE "trace_clock", "global") ||
	    !set_trace(TRACE "events/mmu_notifier/filter", range) ||
	    !set_trace(TRACE "events/mmu_notifier/enable", "1")) {
		stop_trace();
		return false;
	}
	set_trace(TRACE "events/kmem/rss_stat/enable", "1");
	set_trace(TRACE "events/kmem/mm_page_free/enable", "1");
	set_trace(TRACE "events/tlb/tlb_flush/enable", "1");
	return true;
}

/* Returns the record's fields, behind "TASK-PID [CPU] FLAGS TIME: NAME: ". */
static const char *parse_record(const char *record, __u64 *us,
				const struct trace_event **event)
{
	const char *at, *time;
	char name[64];
	__u64 s;

	for (size_t i = 0; i < ARRAY_SIZE(trace_events); i++) {
		snprintf(name, sizeof(name), ": %s: ", trace_events[i].name);
		at = strstr(record, name);
		if (!at)
			continue;
		for (time = at; time > record && time[-1] != ' '; time--)
			;
		if (sscanf(time, "%llu.%llu", &s, us) != 2)
			return NULL;
		*us += 1000000 * s;
		*event = &trace_events[i];
		return at + strlen(name);
	}
	return NULL;
}

static bool describe_free(struct line *line, const char *fields)
{
	const struct stlb_event *seen;
	__u64 pfn;

	if (sscanf(fields, "%*s pfn=%llx", &pfn) != 1)
		return false;
	/* Most have nothing to do with us. */
	seen = next_free(pfn);
	if (!seen)
		return false;
	if (seen->type == STLB_EVENT_STALE)
		line->step = "free, STALE USE";
	line->late = seen->flags & STLB_EVENT_TABLE;
	snprintf(line->device, sizeof(line->device), "page%s",
		 line->late ? " table" : "");
	snprintf(line->text, sizeof(line->text), "%#llx-%#llx pfn=%#llx",
		 seen->start, seen->end, pfn);
	return true;
}

static bool describe_range(struct line *line, const char *fields, int type)
{
	const struct stlb_event *seen = next_event(type);
	__u64 start, end;
	int rest = 0;

	if (sscanf(fields, "mm=%*s start=%llx end=%llx event=%n", &start, &end,
		   &rest) != 2 || !rest)
		return false;
	snprintf(line->text, sizeof(line->text), "%#llx-%#llx %s", start, end,
		 fields + rest);
	if (seen)
		snprintf(line->device, sizeof(line->device),
			 "%u cached, %u differ", seen->same + seen->differ,
			 seen->differ);
	return true;
}

static void add_record(const char *record)
{
	const struct trace_event *event;
	struct line line = { };
	const char *fields;

	fields = parse_record(record, &line.us, &event);
	/* It begins with the start of the range. */
	if (!fields || (!nr_lines && event->type != STLB_EVENT_START))
		return;
	line.step = event->step;
	if (event->type == STLB_EVENT_FREE) {
		if (!describe_free(&line, fields))
			return;
	} else if (event->type != NO_EVENT) {
		if (!describe_range(&line, fields, event->type))
			return;
	} else {
		line.late = true;
		snprintf(line.text, sizeof(line.text), "%s: %s", event->name,
			 fields);
	}
	if (nr_lines == ARRAY_SIZE(lines))
		die("there are more than %zu events", nr_lines);
	lines[nr_lines++] = line;
}

/* To be called after read_device(). */
static void read_trace(void)
{
	char record[256];
	FILE *trace;

	set_trace(TRACE "tracing_on", "0");
	trace = fopen(TRACE "trace", "r");
	while (trace && fgets(record, sizeof(record), trace)) {
		record[strcspn(record, "\n")] = 0;
		if (*record != '#')
			add_record(record);
	}
	if (trace)
		fclose(trace);
}

static void print_lines(void)
{
	size_t over = nr_lines;

	if (!nr_lines)
		die("the trace does not show the start of the range");

	/* Page tables are freed later. What else comes late is not about us. */
	while (over && lines[over - 1].late)
		over--;

	fputs("      us  step              device              trace\n", report);
	for (size_t i = 0; i < nr_lines; i++)
		if (i < over || *lines[i].device)
			fprintf(report, "%8llu  %-16s  %-18s  %s\n",
				lines[i].us - lines[0].us, lines[i].step,
				lines[i].device, lines[i].text);
}

#endif /* TIMELINE_H */
