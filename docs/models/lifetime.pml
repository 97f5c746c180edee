/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Lifetime: after mmu_notifier_unregister() returned, and once free_notifier()
 * begins, no callback runs or will run. After mmu_notifier_release() nothing is
 * cached, although it may meet the former.
 *
 * One subscription in two steps; a task that unmaps by the reverse mapping, which
 * the exit of the mm does not exclude; the owner, who either unregisters or puts;
 * and the exit, which may come before, after or in between.
 *
 * The first call of release() stops the device, which takes time. A second one, at
 * the same time, waits for that.
 *
 * synchronize_srcu() waits for those sections that began before it. Memory is
 * sequentially consistent: SRCU and the spinlock order what is shared here.
 *
 * WRONG: NO_SYNC: the subscription is freed without waiting for a grace period
 * WRONG: SYNC_FIRST: the grace period comes before the removal from the list
 * WRONG: SPLIT_SECTION: issue and finish are in two SRCU sections
 * WRONG: NO_SECTION: the callbacks run outside of any SRCU section
 * WRONG: RETURNS_EARLY: the second release() returns at once; its caller clears the flag, and reclaim tells nobody while the first still stops the device
 * RIGHT: RETURNS_EARLY EXIT_ALONE: that is harmless for what exit itself frees (no reclaim and no put here), as it waits for unregister
 * WRONG: RETURNS_EARLY EXIT_ALONE EXIT_NO_SYNC: unless mn_hlist_release() does not wait
 * WRONG: RETURNS_EARLY EXIT_ALONE RELEASE_NO_SECTION: or unregister runs release() outside of an SRCU section
 * WRONG: RETURNS_EARLY EXIT_ALONE STOPS_ELSEWHERE: or the driver stops the device outside of release(), and puts
 * WRONG: REMOVE_FIRST: unregister removes the subscription before it runs release()
 * WRONG: EXIT_DROP_FIRST: exit clears flag and list before release()
 * WRONG: PUT_EARLY: mmu_notifier_put() before the device was stopped
 */

#define UNMAPPER	0
#define OWNER		1
#define EXIT		2
#define NR		3

bool spin;		/* subscriptions->lock */
bool section[NR];	/* srcu_read_lock() */
bit nth[NR];		/* another section than before */
bool pte = true;
bool flag = true;
bool listed = true;
bool alive = true;	/* the memory of the subscription */
bool stopping, device_on = true;
bool tlb;

inline srcu_lock()
{
	atomic { section[_pid] = true; nth[_pid] = 1 - nth[_pid] }
}

inline srcu_unlock()
{
	section[_pid] = false
}

/* Wait for the two others. */
inline synchronize()
{
	atomic {
		a = (_pid + 1) % NR;
		b = (_pid + 2) % NR;
		in_a = section[a];
		in_b = section[b];
		nth_a = nth[a];
		nth_b = nth[b]
	};
	!in_a || !section[a] || nth[a] != nth_a;
	!in_b || !section[b] || nth[b] != nth_b
}

inline release()
{
	assert(alive);
	atomic { first = !stopping; stopping = true };
	if
	:: first -> atomic { device_on = false; tlb = false }
#ifdef RETURNS_EARLY
	:: else
#else
	:: else -> !device_on
#endif
	fi;
	assert(alive)
}

/* hlist_del_init_rcu(), mn_drop_secondary_tlb() */
inline remove()
{
	atomic { !spin -> spin = true };
	listed = false;
	flag = false;
	spin = false
}

/* try_to_unmap(): under a lock of the reverse mapping, not of the mm. */
active proctype unmapper()
{
#ifndef EXIT_ALONE
	bool found;

	pte = false;
	if
	:: flag ->
#ifndef NO_SECTION
		srcu_lock();
#endif
		found = listed;
		if
		:: found ->
			/* mn_issue() */
			assert(alive);
#ifdef SPLIT_SECTION
			srcu_unlock();
			srcu_lock();
#endif
			/* mn_finish() */
			assert(alive);
			tlb = false
		:: else
		fi;
#ifndef NO_SECTION
		srcu_unlock()
#endif
	:: else
	fi;
	/* The page is freed. */
	assert(!tlb)
#else
	skip
#endif
}

active proctype owner()
{
	bool in_a, in_b, first;
	bit nth_a, nth_b;
	byte a, b;

	if
	:: true ->
		/* mmu_notifier_unregister() */
#ifdef REMOVE_FIRST
		if
		:: listed ->
			remove();
			release()
		:: else
		fi;
#else
		if
		:: listed ->
#ifndef RELEASE_NO_SECTION
			srcu_lock();
#endif
			release();
#ifndef RELEASE_NO_SECTION
			srcu_unlock();
#endif
#ifdef SYNC_FIRST
			synchronize();
#endif
			remove()
		:: else
		fi
#endif
#if !defined(EXIT_ALONE) || defined(STOPS_ELSEWHERE)
	:: true ->
		/* The driver stops the device; mmu_notifier_put(), call_srcu() */
#ifndef PUT_EARLY
		release();
#endif
		remove()
#ifdef PUT_EARLY
		;
		release()
#endif
#endif
	fi;
#if !defined(NO_SYNC) && !defined(SYNC_FIRST)
	synchronize();
#endif
	/* The driver frees it, or free_notifier() does. */
	alive = false
}

/* exit_mmap() */
active proctype exit()
{
	bool in_a, in_b, first, found;
	bit nth_a, nth_b;
	byte a, b;

	/* mn_hlist_release() */
	if
	:: listed ->
		srcu_lock();
		found = listed;
#ifdef EXIT_DROP_FIRST
		remove();
#endif
		if
		:: found -> release()
		:: else
		fi;
#ifndef EXIT_DROP_FIRST
		remove();
#endif
		srcu_unlock();
#ifndef EXIT_NO_SYNC
		synchronize()
#endif
	:: else
	fi;
	/* All pages are freed, and nobody is told. */
	assert(!tlb && !device_on)
}

/* Walks at any time, see fill.pml. */
active proctype device()
{
end:
	do
	:: atomic { device_on && pte && !tlb -> tlb = true }
	od
}
