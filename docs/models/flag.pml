/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Flag against list: MMF_HAS_SECONDARY_TLB is clear only if there is no device
 * that may have something cached.
 *
 * Two secondary TLBs of one mm: 0 is a subscription on the list, 1 an interval in
 * the tree. Each registers, its device is used, it is removed. Registration takes
 * "lock", the lock under which page tables change, removal does not. Beside them a
 * page is mapped and unmapped under that lock, twice.
 *
 * Memory is sequentially consistent here: flag, list and tree change under one
 * spinlock, and who clears entries is ordered by "lock", see registration.pml.
 *
 * WRONG: DROP_OUTSIDE: the flag is recomputed after subscriptions->lock was dropped
 * WRONG: TEST_OUTSIDE: what it is recomputed from is looked up before the lock is taken
 * WRONG: SET_EARLY: registration sets the flag before it takes subscriptions->lock
 * WRONG: CLEAR_ALWAYS: removal clears the flag whoever else is there
 * WRONG: LIST_ALONE: mn_drop_secondary_tlb() looks at the list, not at the tree
 * WRONG: DROP_FIRST: removal, and with it the flag, comes before the device is stopped
 * WRONG: SET_NEVER: the insertion of an interval does not set the flag
 */

#define NR	2

bool lock;		/* mmap lock and the like */
bool spin;		/* subscriptions->lock */
bool pte;
bool flag;
bool linked[NR];	/* on the list, or in the tree */
bool device_on[NR];
bool tlb[NR];
bool done;

inline take(l)
{
	atomic { !l -> l = true }
}

/* mn_drop_secondary_tlb() */
inline drop()
{
#if !defined(CLEAR_ALWAYS) && !defined(LIST_ALONE)
	others = linked[0] || linked[1];
#endif
#ifdef LIST_ALONE
	others = linked[0];
#endif
	if
	:: !others -> flag = false
	:: else
	fi
}

/* The driver: release(), or whatever stops the device. Synchronous. */
inline stop(i)
{
	device_on[i] = false;
	tlb[i] = false
}

/* mmu_notifier_register(), mn_tlb_itree_insert() */
inline register(i)
{
	/* mn_take_all_locks() */
	take(lock);
#ifdef SET_EARLY
	flag = true;
#endif
	take(spin);
	linked[i] = true;
	if
#ifdef SET_NEVER
	:: i == 1
#endif
#ifndef SET_EARLY
	/* mn_set_secondary_tlb() */
	:: else -> flag = true
#else
	:: else
#endif
	fi;
	spin = false;
	/* mm_drop_all_locks() */
	lock = false;
	device_on[i] = true
}

/* mmu_notifier_unregister(), mmu_notifier_put(), mmu_interval_notifier_remove() */
inline unregister(i)
{
#ifndef DROP_FIRST
	stop(i);
#endif
#ifdef TEST_OUTSIDE
	others = linked[1 - i];
#endif
	take(spin);
	linked[i] = false;
#ifdef TEST_OUTSIDE
	if
	:: !others -> flag = false
	:: else
	fi;
#endif
#if !defined(TEST_OUTSIDE) && !defined(DROP_OUTSIDE)
	drop();
#endif
	spin = false;
#ifdef DROP_OUTSIDE
	drop();
#endif
#ifdef DROP_FIRST
	stop(i);
#endif
	/* synchronize_srcu(), see lifetime.pml */
}

active [NR] proctype owner()
{
	bool others;

	register(_pid);
	unregister(_pid)
}

/* Walks at any time, see fill.pml. */
active proctype device()
{
	do
	:: atomic { device_on[0] && pte && !tlb[0] -> tlb[0] = true }
	:: atomic { device_on[1] && pte && !tlb[1] -> tlb[1] = true }
	:: done -> break
	od
}

active proctype mm()
{
	byte round, i;

	do
	:: round < 2 ->
		take(lock);
		pte = true;
		lock = false;

		take(lock);
		pte = false;
		/* mmu_notifier_invalidate_range() */
		if
		:: flag ->
			i = 0;
			do
			:: i < NR ->
				if
				:: linked[i] -> tlb[i] = false
				:: else
				fi;
				i++
			:: else -> break
			od
		:: else
		fi;
		lock = false;
		/* The page is freed. */
		assert(!tlb[0] && !tlb[1]);
		round++
	:: else -> break
	od;
	done = true
}
