/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Batch: reclaim clears entries, records them, and flushes later, without the page
 * table lock. Its page is neither written out nor freed while a CPU or the device
 * may use it, and who finds the entry clear meanwhile can rely on it when done.
 *
 * Two page tables with a lock and one entry each. One task unmaps both pages, and may
 * flush in between; or each of two tasks unmaps one. What finds no room in a record is
 * reported at once. Others, such as munmap(), take one of the locks, and fork() one after the
 * other. The device may be unregistered at any time, and registered again under all
 * locks. The first page can be written, and its entry is dirty when the device has
 * cached it. The second is only read.
 *
 * RIGHT: WEAK: the increment is seen before what was stored under batches->lock, which a release permits
 * WRONG: COUNT_FIRST: tlb_flush_batched is incremented before the entry is recorded
 * WRONG: COUNT_UNLOCKED: recorded and incremented without the page table lock
 * WRONG: REMOVE_FIRST: reclaim removes its record before it reports
 * WRONG: SHARED: two tasks have one record; one empties it when it has reported what it saw, and the other has added something
 * WRONG: MARK_FIRST: what is pending is marked as flushed before it is reported
 * WRONG: MARK_ALL: what became pending meanwhile is marked, too
 * WRONG: WRAP: the counters start again meanwhile, and come to what was read; in the code that takes a multiple of 16384 unmaps during one flush
 * WRONG: TESTED_UNLOCKED: what is pending is tested before the page table lock is taken
 * WRONG: CPUS_ONLY: flush_tlb_batched_pending() does not report
 * WRONG: DEVICE_ONLY: it does not flush the CPUs
 * WRONG: TAKE: it takes what is recorded, and reclaim has nothing to wait for
 * WRONG: EMPTY: it empties the record when it has reported what it saw of it
 * WRONG: FORK_SILENT: fork() does not report
 * WRONG: FORK_TESTS_FIRST: fork() tests what is pending when it begins
 * RIGHT: FORK_TESTS: it could test at its end
 * WRONG: WRITE_FIRST: a dirty page is written out before the flush
 * WRONG: KEEPS: the device keeps what it has cached when it is unregistered
 * WRONG: REMOVE_EARLY: a clean page leaves its cache before the flush, and a fault sets another one at its address while the device has the old one
 * RIGHT: REMOVE_EARLY FAULT_PENDING: unless the fault reports what is pending
 * WRONG: REMOVE_EARLY FAULT_PENDING FREE_FIRST: but not if the page is freed before the flush
 */

bool ptl[2];
bool pte[2] = true;
bool dirty;		/* the first entry */
byte pending, flushed;	/* mm->tlb_flush_batched */

bool spin;		/* batches->lock */
bool record[2];

bool flag = true;	/* MMF_HAS_SECONDARY_TLB */
bool device_on = true;
bool tlb[2];		/* of the device */
bool cpu[2];		/* of the CPUs */
bool removed[2];	/* the page has left the cache */

#ifdef SHARED
#define own(n)	true
#else
#define own(n)	(first <= (n) && (n) <= last)
#endif

inline lock(which)
{
	atomic { !which -> which = true }
}

/* set_tlb_ubc_flush_pending() */
inline count()
{
#ifdef WRAP
	atomic { pending = 1; flushed = 0 }
#else
	pending++
#endif
}

/* __mmu_notifier_invalidate_range() */
inline report(n, what)
{
	atomic {
		if
		:: flag && (what) -> tlb[n] = false
		:: else
		fi
	}
}

/* arch_tlbbatch_flush(), flush_tlb_mm_nonotify() */
inline flush_cpus()
{
	atomic { cpu[0] = false; cpu[1] = false }
}

inline report_copy(n)
{
	atomic { !spin -> seen = record[n]
#ifdef TAKE
		; record[n] = false
#endif
	};
	report(n, seen);
#ifdef EMPTY
	atomic { !spin -> record[n] = false };
#endif
	seen = false
}

/* __mmu_notifier_batch_pending() */
inline batch_pending()
{
	report_copy(0);
	report_copy(1)
}

inline read_pending()
{
	atomic { p = pending; f = flushed }
}

inline mark_flushed()
{
#ifdef MARK_ALL
	flushed = pending
#else
	/* atomic_cmpxchg() */
	atomic {
		if
		:: p == pending && f == flushed -> flushed = p
		:: else
		fi
	}
#endif
}

inline flush_pending()
{
#ifndef TESTED_UNLOCKED
	read_pending();
#endif
	if
	:: p != f ->
#ifdef MARK_FIRST
		mark_flushed();
#endif
#ifndef DEVICE_ONLY
		flush_cpus();
#endif
#ifndef CPUS_ONLY
		batch_pending();
#endif
#ifndef MARK_FIRST
		mark_flushed()
#endif
	:: else
	fi
}

/* mn_batch_report(), where nobody else changes the record */
inline report_own()
{
#ifdef REMOVE_FIRST
	report(0, own(0));
	report(1, own(1))
#else
	report(0, own(0) && record[0]);
	report(1, own(1) && record[1])
#endif
}

inline empty_own()
{
	atomic {
		!spin ->
		record[0] = record[0] && !own(0);
		record[1] = record[1] && !own(1)
	}
}

/* mmu_notifier_batch_add(), or the caller reports at once */
inline batch_add()
{
	if
	:: true ->
		atomic { !spin -> spin = true };
#ifdef WEAK
		count();
#endif
		atomic { record[e] = true; spin = false }
	:: true ->
		report(e, true);
#ifdef WEAK
		count()
#endif
	fi
}

/* ptep_get_and_clear(), set_tlb_ubc_flush_pending() */
inline unmap()
{
	lock(ptl[e]);
	/* The CPUs have used it until now. */
	atomic { pte[e] = false; cpu[e] = true };
#ifdef COUNT_UNLOCKED
	ptl[e] = false;
#endif
#ifdef COUNT_FIRST
	count();
#endif
	if
	:: flag -> batch_add()
	:: else ->
#ifdef WEAK
		count()
#endif
	fi;
#if !defined(COUNT_FIRST) && !defined(WEAK)
	count();
#endif
	writable = writable || (e == 0 && dirty);
#ifndef COUNT_UNLOCKED
	ptl[e] = false
#endif
}

inline try_to_unmap_flush()
{
	flush_cpus();
#ifdef REMOVE_FIRST
	empty_own();
	report_own();
#else
	report_own();
	empty_own();
#endif
	writable = false
}

/* pageout(), __remove_mapping(): nobody can write to the page any more */
inline write_and_remove()
{
	atomic {
		i = done;
		do
		:: i < e ->
			assert(i == 1 || !tlb[0]);
			assert(i == 1 || !dirty || !cpu[0]);
			removed[i] = true;
			i++
		:: else -> i = 0; break
		od
	}
}

inline free()
{
	atomic {
		i = done;
		do
		:: i < e ->
			assert(!tlb[i] && !cpu[i]);
			i++
		:: else -> i = 0; break
		od
	}
}

/* shrink_folio_list() */
proctype reclaim(byte first, last)
{
	bool writable;
	byte e = first, done = first, i;

	do
	:: e <= last ->
		unmap();
		e++
	:: done < e ->
#ifdef REMOVE_EARLY
		/* try_to_unmap_flush_dirty() */
		if
		:: writable -> try_to_unmap_flush()
		:: else
		fi;
#elif !defined(WRITE_FIRST)
		/* flush_unmapped_folios() */
		try_to_unmap_flush();
#endif
		write_and_remove();
#ifdef FREE_FIRST
		free();
#endif
		try_to_unmap_flush();
#ifndef FREE_FIRST
		free();
#endif
		done = e
	:: done > last -> break
	od
}

/* munmap(), mprotect(), mremap(), UFFDIO_MOVE */
proctype other()
{
	bool seen;
	byte e, p, f;

	if
	:: e = 0
	:: e = 1
	fi;
#ifdef TESTED_UNLOCKED
	read_pending();
#endif
	lock(ptl[e]);
	flush_pending();
	assert(pte[e] || (!tlb[e] && !cpu[e]));
	ptl[e] = false
}

/* dup_mmap() */
proctype fork()
{
	bool seen, copied[2];
	byte p, f;

#ifdef FORK_TESTS_FIRST
	read_pending();
#endif
	/* copy_pte_range() */
	lock(ptl[0]);
	copied[0] = !pte[0];
	ptl[0] = false;
	lock(ptl[1]);
	copied[1] = !pte[1];
	ptl[1] = false;
	flush_cpus();
#ifdef FORK_TESTS
	read_pending();
#endif
#if defined(FORK_TESTS) || defined(FORK_TESTS_FIRST)
	if
	:: p != f -> batch_pending()
	:: else
	fi;
#endif
#if !defined(FORK_TESTS) && !defined(FORK_TESTS_FIRST) && !defined(FORK_SILENT)
	batch_pending();
#endif
	assert(!copied[0] || (!tlb[0] && !cpu[0]));
	assert(!copied[1] || (!tlb[1] && !cpu[1]))
}

/* do_swap_page(), do_fault(): nothing is in the cache, there is a new page. */
proctype fault(byte e)
{
#ifdef FAULT_PENDING
	bool seen;
	byte p, f;
#endif

	removed[e];
	lock(ptl[e]);
#ifdef FAULT_PENDING
	flush_pending();
#endif
	/* set_ptes() */
	assert(!tlb[e]);
	ptl[e] = false
}

/* The driver: mmu_notifier_unregister(), mmu_notifier_register() */
proctype owner()
{
	device_on = false;
#ifndef KEEPS
	atomic { tlb[0] = false; tlb[1] = false };
#endif
	flag = false;
	/* mn_take_all_locks() */
	lock(ptl[0]);
	lock(ptl[1]);
	flag = true;
	ptl[0] = false;
	ptl[1] = false;
	device_on = true
}

/* Walks at any time, see fill.pml. */
active proctype device()
{
end:
	do
	:: atomic { device_on && pte[0] && !tlb[0] -> tlb[0] = true; dirty = true }
	:: atomic { device_on && pte[1] && !tlb[1] -> tlb[1] = true }
	od
}

init
{
	if
	:: atomic { run reclaim(0, 1); run other(); run other() }
	:: atomic { run reclaim(0, 1); run other(); run fork() }
	:: atomic { run reclaim(0, 0); run reclaim(1, 1); run other() }
	:: atomic { run reclaim(0, 1); run other(); run owner() }
	fi;
	run fault(1)
}
