/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Nested: two gathers are at work on one mm. The one that finds an entry clear goes
 * on as if nobody used it, though the other may have cleared it and not flushed yet.
 * A secondary TLB is rid of it before either is done, and each gather reports at most
 * once.
 *
 * The device caches the entry whenever it is there.
 *
 * WRONG: NOT_COVERED: what was found clear is not reported
 * WRONG: TESTED_BEFORE: whether another gather is at work is tested before the walk
 * WRONG: DROPPED_EARLY: tlb_flush_pending drops before the flush
 */

bool page = true, tlb, locked;
byte pending;

inline lock()
{
	atomic { !locked -> locked = true }
}

inline unlock()
{
	locked = false
}

/* __tlb_flush_secondary() */
inline report()
{
	assert(!reported);
	reported = true;
	tlb = false
}

proctype gather()
{
	bool cleared, covered, reported;

	/* tlb_gather_mmu() */
	pending++;
#ifdef TESTED_BEFORE
	covered = pending > 1;
#endif
	lock();
	if
	:: page -> page = false; cleared = true
	:: else
	fi;
	unlock();
	/* tlb_end_vma(): tlb_cover_nested() */
#if !defined(NOT_COVERED) && !defined(TESTED_BEFORE)
	covered = pending > 1;
#endif
	/* tlb_finish_mmu() */
#ifdef DROPPED_EARLY
	pending--;
#endif
	if
	:: cleared || covered -> report()
	:: else
	fi;
	/* The page is freed, or the system call returns. */
	assert(!tlb);
#ifndef DROPPED_EARLY
	pending--
#endif
}

/* Walks at any time, see fill.pml. */
active proctype device()
{
end:
	do
	:: atomic { page && !tlb -> tlb = true }
	od
}

init
{
	run gather();
	run gather()
}
