/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A timeline out of the events of a software device (read() of
 * /dev/mmu_notifier_test) and the kernel's own trace events.
 */
#ifndef TIMELINE_H
#define TIMELINE_H

#include <stdbool.h>

#include "guest.h"
#include "test_mmu_notifier_uapi.h"

/* A trace buffer of our own, which leaves that of the system alone. */
#define TRACE		TRACING "instances/mmu_notifier/"

static struct line {
	__u64 ns, pfn;
	size_t order;
	const char *step, *source;
	char text[112];
} lines[64];

static size_t nr_lines;
static __u64 from, to;		/* when it started, and was over but for RCU */

static struct line *add_line(__u64 ns, const char *step, const char *source)
{
	struct line *line = &lines[nr_lines];

	if (nr_lines == ARRAY_SIZE(lines))
		die("there are more than %zu events", nr_lines);
	line->order = nr_lines++;
	line->ns = ns;
	line->step = step;
	line->source = source;
	return line;
}

static void add_event(const struct stlb_event *event)
{
	static const char * const steps[] = {
		[STLB_EVENT_START] = "start",
		[STLB_EVENT_INVALIDATE] = "invalidate_range",
		[STLB_EVENT_END] = "end",
		[STLB_EVENT_RELEASE] = "release",
		[STLB_EVENT_FREE] = "free",
		[STLB_EVENT_STALE] = "free, STALE USE",
	};
	struct line *line = add_line(event->ns, steps[event->type], "device");

	if (event->type == STLB_EVENT_START)
		from = event->ns;
	if (!(event->flags & STLB_EVENT_TABLE))
		to = event->ns;
	line->pfn = event->pfn;
	if (event->pfn)
		snprintf(line->text, sizeof(line->text),
			 "page%s, pfn %#llx, of %#llx-%#llx",
			 event->flags & STLB_EVENT_TABLE ? " table" : "",
			 event->pfn, event->start, event->end);
	else
		snprintf(line->text, sizeof(line->text),
			 "%#llx-%#llx%s, %u cached, %u differ from the page table",
			 event->start, event->end,
			 event->flags & STLB_EVENT_LEAF ? " LEAF" : "",
			 event->same + event->differ, event->differ);
}

/* The events of the device that are about a range of addresses. */
static void add_events(int fd, __u64 start, __u64 end)
{
	struct stlb_event event;

	while (TRY(read(fd, &event, sizeof(event))))
		if (event.start < end && event.end > start)
			add_event(&event);
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

/* Returns false if the kernel has no trace. An event that it lacks is missing. */
static bool start_trace(void)
{
	char pid[16];

	if (mkdir(TRACE, 0700) && errno != EEXIST)
		return false;
	snprintf(pid, sizeof(pid), "%d", getpid());
	/* The device tells the time by local_clock(), which is "perf" here. */
	if (!set_trace(TRACE "trace_clock", "perf") ||
	    !set_trace(TRACE "set_event_pid", pid)) {
		stop_trace();
		return false;
	}
	set_trace(TRACE "events/kmem/rss_stat/enable", "1");
	set_trace(TRACE "events/kmem/mm_page_free/enable", "1");
	set_trace(TRACE "events/tlb/tlb_flush/enable", "1");
	return true;
}

static FILE *open_trace(const char *raw)
{
	set_trace(TRACE "options/raw", raw);
	return fopen(TRACE "trace", "r");
}

static bool next_record(FILE *trace, char *text, int size)
{
	while (trace && fgets(text, size, trace)) {
		text[strcspn(text, "\n")] = 0;
		if (*text && *text != '#')
			return true;
	}
	return false;
}

static void add_record(__u64 ns, const char *text)
{
	static const char * const events[][2] = {
		{ "rss_stat: ", "clear" },
		{ "tlb_flush: ", "flush" },
	};
	const char *at = strstr(text, "mm_page_free: ");
	struct line *line;
	__u64 pfn;

	/* The device looks at pages when they are freed, so it has the line. */
	if (at && sscanf(at, "%*s %*s pfn=%llx", &pfn) == 1) {
		for (line = lines; line < lines + nr_lines; line++)
			if (line->pfn == pfn)
				line->source = "both";
		return;
	}
	if (ns < from || ns > to)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(events); i++) {
		at = strstr(text, events[i][0]);
		if (!at)
			continue;
		line = add_line(ns, events[i][1], "kernel");
		snprintf(line->text, sizeof(line->text), "%s", at);
	}
}

/*
 * The text of a trace has microseconds, which are too coarse to tell the order.
 * Its raw form has nanoseconds, and little else. So read both. Returns false if
 * there is none, or the clock stood still, as one does that counts jiffies.
 */
static bool add_trace(void)
{
	static __u64 ns[1024];
	char text[256];
	size_t nr = 0;
	FILE *trace;

	if (from == to)
		return false;
	set_trace(TRACE "tracing_on", "0");
	trace = open_trace("1");
	while (nr < ARRAY_SIZE(ns) && next_record(trace, text, sizeof(text)))
		if (sscanf(text, "%*d %*d %llu", &ns[nr]) == 1)
			nr++;
	if (trace)
		fclose(trace);

	trace = open_trace("0");
	for (size_t i = 0; i < nr && next_record(trace, text, sizeof(text)); i++)
		add_record(ns[i], text);
	if (trace)
		fclose(trace);
	return nr;
}

static int compare_lines(const void *a, const void *b)
{
	const struct line *one = a, *two = b;

	if (one->ns != two->ns)
		return one->ns > two->ns ? 1 : -1;
	return one->order > two->order ? 1 : -1;
}

static void print_lines(void)
{
	qsort(lines, nr_lines, sizeof(lines[0]), compare_lines);
	fputs("      us  step              seen by\n", report);
	for (size_t i = 0; i < nr_lines; i++)
		fprintf(report, "%8.1f  %-16s  %-6s   %s\n",
			(lines[i].ns - from) / 1000.0, lines[i].step,
			lines[i].source, lines[i].text);
}

#endif /* TIMELINE_H */
