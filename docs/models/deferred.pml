/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Exit with intervals: an interval whose insertion into the old tree is deferred,
 * because a range is open, is told of the end of the mm too, and is not freed
 * while it is told.
 *
 * A truncation has a range open that meets another interval, which is there all
 * the time, so that the old tree must not change. Meanwhile an interval with
 * invalidate_range() is inserted, its device is used, the mm exits, and the
 * interval is removed, before or after or in between. Exit comes after the
 * insertion, which holds mm_users.
 *
 * Memory is sequentially consistent: everything is under one spinlock, or under
 * SRCU.
 *
 * WRONG: NOT_TOLD: mn_tlb_itree_release() does not look for what is deferred
 * WRONG: NO_SECTION: it calls what is deferred outside of an SRCU section
 * WRONG: RANGE_CLOSED: it runs after exit closed its own range
 * WRONG: NO_SYNC: mmu_interval_notifier_remove() does not wait for a grace period
 * WRONG: NO_WAIT: it does not wait for the open ranges
 */

bool spin;		/* subscriptions->lock */
bool section;		/* srcu_read_lock() of the exit */
byte active_ranges;	/* active_invalidate_ranges */
byte seq = 2;		/* invalidate_seq */
bool in_itree;
bool add_deferred, del_deferred;	/* on deferred_list */
bool in_tlb_itree;
bool inserted, device_on;
bool alive = true;

inline take_lock()
{
	atomic { !spin -> spin = true }
}

/* mn_itree_inv_start_range(), which finds the other interval at least */
inline inv_start()
{
	take_lock();
	active_ranges++;
	seq = seq | 1;
	spin = false
}

/* mn_itree_inv_end() */
inline inv_end()
{
	take_lock();
	active_ranges--;
	if
	:: active_ranges == 0 && (seq & 1) ->
		seq++;
		if
		:: add_deferred -> in_itree = true; add_deferred = false
		:: del_deferred -> in_itree = false; del_deferred = false
		:: else
		fi
	:: else
	fi;
	spin = false
}

active proctype truncation()
{
	inv_start();
	if
	:: in_itree -> assert(alive)
	:: else
	fi;
	inv_end()
}

active proctype owner()
{
	byte wait;

	/* mmu_interval_notifier_insert(): mn_tlb_itree_insert() */
	take_lock();
	if
	:: active_ranges && (seq & 1) -> add_deferred = true
	:: else -> in_itree = true
	fi;
	in_tlb_itree = true;
	spin = false;
	device_on = true;
	inserted = true;	/* and mmput() */

	/* The driver stops the device, then mmu_interval_notifier_remove(). */
	device_on = false;
	take_lock();
	/* mn_itree_remove() */
	if
	:: seq & 1 ->
		if
		:: add_deferred -> add_deferred = false
		:: else -> del_deferred = true; wait = seq
		fi
	:: else -> in_itree = false
	fi;
	in_tlb_itree = false;
	spin = false;
#ifndef NO_WAIT
	!wait || seq != wait;
#endif
#ifndef NO_SYNC
	/* synchronize_srcu() */
	!section;
#endif
	alive = false
}

/* mn_tlb_itree_release() */
inline tlb_itree_release()
{
#ifndef NO_SECTION
	section = true;
#endif
	take_lock();
#ifndef NOT_TOLD
	if
	:: in_tlb_itree && !in_itree ->
		spin = false;
		assert(alive);
		device_on = false;
		assert(alive);
		take_lock()
	:: else
	fi;
#endif
	in_tlb_itree = false;
	spin = false;
	section = false
}

/* mn_itree_release() */
active proctype exit()
{
	inserted;
	inv_start();
	/* The old tree stays as it is until the range is closed. */
	if
	:: in_itree ->
		assert(alive);
		device_on = false;
		assert(alive)
	:: else
	fi;
#ifndef RANGE_CLOSED
	tlb_itree_release();
	inv_end();
#else
	inv_end();
	tlb_itree_release();
#endif
	/* All pages are freed, and nobody is told. */
	assert(!device_on)
}
