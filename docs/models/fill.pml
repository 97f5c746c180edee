/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Fill against clear, report and free: a device that walks and accesses all the
 * time never accesses a page that was freed, and caches nothing of it then.
 *
 * The CPU unmaps one page with a gather. The device walks in two steps (reads the
 * entry, caches what it read), accesses in two steps (looks up, is done), and has
 * a command queue. Whether the page is freed before or after
 * invalidate_range_end() is open, as in the contract.
 *
 * The cleared entry waits in a store buffer. Nothing but the driver's own barrier
 * is counted on: some flushes of the CPUs have none.
 *
 * WRONG: REPORT_FIRST: invalidate_range() is called before the entry changed
 * WRONG: FREE_FIRST: the page is freed before invalidate_range() is called
 * WRONG: START_END: a device that acts on invalidate_range_start() and _end() alone
 * RIGHT: START_END END_FIRST: it would do if no page were ever freed before _end()
 * WRONG: START_END START_ALONE END_FIRST: what was dropped at the start comes back
 * WRONG: NO_WAIT_WALK: the device does not wait for a walk in progress
 * WRONG: NO_WAIT_ACCESS: the device does not wait for an access in progress
 * WRONG: NO_SYNC: invalidate_range() returns when the command is queued
 * WRONG: NO_BARRIER: the command can overtake the cleared entry
 * WRONG: DROP_FIRST: the device drops the entry, and then waits for walks
 */

bool pte = true;	/* in memory, where the device looks */
bool pte_clearing;	/* store buffer of the CPU */
bool freed;
bool tlb;		/* the device has cached the translation */
bool walking;		/* a walk has read the entry, and it was there */
bool accessing;
bool command, completed;

/* The driver: queue a command, and wait until the device is done. */
inline invalidate()
{
	completed = false;
#ifndef NO_BARRIER
	/* dma_wmb(), or what writel() does: the change before the command */
	!pte_clearing;
#endif
	command = true;
#ifndef NO_SYNC
	completed
#endif
}

active proctype cpu()
{
	/* invalidate_range_start() */
#ifdef START_END
	invalidate();
#endif
#ifdef REPORT_FIRST
	invalidate();
#endif
	/* ptep_get_and_clear() */
	pte_clearing = true;
	/* tlb_flush_mmu_tlbonly(): tlb_flush(), tlb_flush_secondary() */
#if !defined(START_END) && !defined(REPORT_FIRST) && !defined(FREE_FIRST)
	invalidate();
#endif
	if
#ifndef END_FIRST
	:: true ->
		/* tlb_batch_pages_flush(): the oracle looks here */
		assert(!tlb);
		freed = true;
		/* invalidate_range_end() */
#if defined(START_END) && !defined(START_ALONE)
		invalidate()
#endif
#endif
	:: true ->
		/* invalidate_range_end() */
#if defined(START_END) && !defined(START_ALONE)
		invalidate();
#endif
		/* tlb_finish_mmu() */
		assert(!tlb);
		freed = true
	fi;
#ifdef FREE_FIRST
	invalidate()
#endif
}

/* Hardware: walks, at any time, and caches what it finds. */
active proctype walker()
{
end:
	do
	:: atomic { pte && !tlb -> walking = true };
		atomic { tlb = true; walking = false }
	od
}

/* Hardware: accesses what is cached. */
active proctype dma()
{
end:
	do
	:: atomic { tlb -> accessing = true };
		assert(!freed);
		accessing = false
	od
}

/* Hardware: the command queue. */
active proctype queue()
{
end:
	do
	:: command ->
		command = false;
#ifdef DROP_FIRST
		tlb = false;
		!walking;
#else
#ifndef NO_WAIT_WALK
		atomic { !walking -> tlb = false };
#else
		tlb = false;
#endif
#endif
#ifndef NO_WAIT_ACCESS
		!accessing;
#endif
		completed = true
	od
}

active proctype memory()
{
	atomic { pte_clearing -> pte = false; pte_clearing = false }
}
