/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Registration against flush: whoever clears an entry that the device may have
 * cached sees the flag, and with the flag the subscription.
 *
 * One page of one mm. "lock" is the one under which its entry changes: mmap lock,
 * VMA lock, or a lock of the reverse mapping. The changers exclude registration,
 * which takes all of them (mm_take_all_locks()).
 *
 * Stores wait in a buffer, one slot for each variable, and reach memory in any
 * order. A release (unlock, smp_store_release()) and a full barrier wait for
 * those before, an acquire and a relaxed atomic (set_bit()) do not.
 *
 * RIGHT: NO_LOCKS BARRIERS GATHER_ONLY: with full barriers on both sides a gather alone could do without the locks; so it is the store buffer that refutes NO_LOCKS
 * WRONG: NO_LOCKS GATHER_ONLY: registration takes no lock; the cleared entry is in a store buffer when the flag is read, and when the device walks
 * WRONG: NO_LOCKS BARRIERS: no lock but barriers; fork() decides before it changes the entry
 * WRONG: LATE_FLAG: the flag is set after registration returned
 * WRONG: EARLY_DEVICE: the device walks before registration took the locks
 * WRONG: FAST_CACHED: tlb_fast_mode() is evaluated when the gather is opened, without a lock
 * WRONG: FLUSH_CACHED: the flag that the flush goes by is read when the gather is opened
 * WRONG: DEAF: the driver does nothing
 * WRONG: NO_WMB: no smp_mb__before_atomic() in mn_set_secondary_tlb()
 * WRONG: NO_RMB: no smp_rmb() in __mmu_notifier_invalidate_range()
 */

bool lock;
bool pte = true;	/* in memory, where the device looks */
bool pte_clearing;	/* store buffer of the changer */
bool flag;		/* MMF_HAS_SECONDARY_TLB */
bool subscriptions;	/* mm->notifier_subscriptions is set */
bool subscriptions_setting;	/* store buffer of registration */
bool listed;		/* the subscription is on the list */
bool listing;		/* store buffer of registration */
bool device_on;
bool tlb;		/* the device has cached the translation */
bool done;

inline take_lock()
{
	atomic { !lock -> lock = true }
}

/* mmu_notifier_ops::invalidate_range() of the driver. fill.pml has its inside. */
inline driver_invalidate()
{
	!pte_clearing;
#ifndef DEAF
	tlb = false
#endif
}

/* tlb_flush_secondary(), mmu_notifier_invalidate_range() */
inline flush_secondary()
{
	if
	:: has ->
		/* __mmu_notifier_invalidate_range() */
#ifdef NO_RMB
		/* The load was done before that of the flag. */
		seen = early;
#else
		seen = subscriptions;
#endif
		assert(seen);
		if
		:: listed -> driver_invalidate()
		:: else
		fi
	:: else
	fi
}

/* madvise(), munmap(), reclaim: clears, and frees after the flush. */
inline gather()
{
	/* tlb_gather_mmu(): batched madvise() holds no lock here. */
#ifdef FAST_CACHED
	fast = !flag;
#endif
#ifdef FLUSH_CACHED
	has = flag;
#endif
	take_lock();
	pte_clearing = true;
#ifdef BARRIERS
	!pte_clearing;
#endif
#ifndef FAST_CACHED
	fast = !flag;
#endif
#ifdef NO_RMB
	early = subscriptions;
#endif
	/* tlb_invalidate_range_end(), tlb_delay_rmap() */
	if
	:: !fast ->
		recorded = false;
#ifndef FLUSH_CACHED
		has = flag;
#endif
		flush_secondary()
	:: else
	fi;
	/* mmu_notifier_invalidate_range_end(), folio_remove_rmap_ptes() */
	assert(!tlb);
	!pte_clearing;
	lock = false;

	/* tlb_finish_mmu(): batched madvise() has dropped the VMA lock. */
#ifdef NO_RMB
	early = subscriptions;
#endif
	if
	:: recorded ->
#ifndef FLUSH_CACHED
		has = flag;
#endif
		flush_secondary()
	:: else
	fi;
	/* tlb_batch_pages_flush() */
	assert(!tlb)
}

/* copy_page_range(): decides first, then takes a permission away. */
inline fork()
{
	take_lock();
	has = flag;
#ifdef NO_RMB
	early = subscriptions;
#endif
	pte_clearing = true;
#ifdef BARRIERS
	!pte_clearing;
#endif
	flush_secondary();
	/* mmu_notifier_invalidate_range_end() */
	assert(!tlb);
	!pte_clearing;
	lock = false
}

active proctype changer()
{
	bool fast, has, seen;
	bool recorded = true;
#ifdef NO_RMB
	bool early;
#endif

	if
	:: gather()
#ifndef GATHER_ONLY
	:: fork()
#endif
	fi;
	done = true
}

/* mmu_notifier_register(), then the driver lets the device walk. */
active proctype registration()
{
#ifdef EARLY_DEVICE
	device_on = true;
#endif
#ifndef NO_LOCKS
	take_lock();
#endif
	/* mn_take_all_locks(): smp_store_release() of what is initialized */
	subscriptions_setting = true;
	/* hlist_add_head_rcu() */
	listing = true;
#ifndef LATE_FLAG
	/* mn_set_secondary_tlb() */
#ifndef NO_WMB
	!subscriptions_setting && !listing;
#endif
	flag = true;
#endif
#ifndef NO_LOCKS
	/* mm_drop_all_locks(), mmap_write_unlock() */
	!subscriptions_setting && !listing;
	lock = false;
#endif
	device_on = true;
#ifdef LATE_FLAG
	flag = true
#endif
}

/* Walks at any time. fill.pml has the walk in steps. */
active proctype device()
{
	do
	:: atomic { device_on && pte && !tlb -> tlb = true }
	:: done -> break
	od
}

/* What is in a store buffer reaches memory at some time. */
active proctype memory()
{
	do
	:: atomic { pte_clearing -> pte = false; pte_clearing = false }
	:: atomic { subscriptions_setting -> subscriptions = true; subscriptions_setting = false }
	:: atomic { listing -> listed = true; listing = false }
	:: done && !subscriptions_setting && !listing && device_on -> break
	od
}
