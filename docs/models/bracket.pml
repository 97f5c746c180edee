/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Bracket: munmap() ends its range behind tlb_finish_mmu() where a secondary TLB sees
 * when it does, which is what the flag here stands for. Each start has one end, and nothing of what is gone is cached
 * then, although the subscription may be removed at any time.
 *
 * munmap() holds the lock that excludes registration, so that the flag can only be
 * cleared meanwhile. A page is unmapped, then its page table is unlinked. The
 * device caches both.
 *
 * WRONG: DECIDED_TWICE: the place behind tlb_finish_mmu() asks for the flag again
 * WRONG: ALWAYS_EARLY: the range ends where it does if nobody sees it
 * WRONG: NOT_FLUSHED: the range ends after the page tables are unlinked, but before the flush
 */

bool flag, device_on;
bool page = true, table = true;
bool tlb, walk_cache;
byte open_ranges;

/* tlb_flush_mmu_tlbonly() */
inline flush()
{
	if
	:: flag -> atomic { tlb = false; walk_cache = false }
	:: else
	fi
}

/* mmu_notifier_invalidate_range_end() */
inline range_end()
{
	assert(page || !tlb);
	assert(table || !walk_cache);
	assert(open_ranges == 1);
	open_ranges--
}

proctype munmap()
{
	bool range_open;

	/* unmap_vmas() */
	open_ranges++;
	page = false;
	if
#ifndef ALWAYS_EARLY
	:: flag -> range_open = true
#endif
	:: else -> range_end()
	fi;
	/* free_pgtables() */
	table = false;
	/* tlb_finish_mmu() */
#ifdef NOT_FLUSHED
	if
	:: range_open -> range_end(); range_open = false
	:: else
	fi;
#endif
	flush();
	assert(!tlb && !walk_cache);
	/* unmap_region(): unmap_vmas_end() */
	if
#ifdef DECIDED_TWICE
	:: flag -> range_end()
#else
	:: range_open -> range_end()
#endif
	:: else
	fi;
	assert(!open_ranges)
}

/* mmu_notifier_unregister(), which takes no lock of the mm */
proctype owner()
{
	atomic { device_on = false; tlb = false; walk_cache = false };
	flag = false
}

/* Walks at any time, see fill.pml. */
active proctype device()
{
end:
	do
	:: atomic { device_on && page && !tlb -> tlb = true }
	:: atomic { device_on && table && !walk_cache -> walk_cache = true }
	od
}

init
{
	if
	:: flag = true; device_on = true; run owner()
	:: true
	fi;
	run munmap()
}
