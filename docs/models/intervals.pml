/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Intervals: mn_tlb_itree_invalidate() drops the lock of the tree to call what it
 * has found. An interval that is in the tree all the time is called once, one that
 * comes or goes at most once, and none after mmu_interval_notifier_remove()
 * returned.
 *
 * The range meets all intervals. 0 and 1 have the same start, 2 another; 3, with
 * the start of the former two, is inserted meanwhile, and 0, 1 or 2 removed.
 * MN_TLB_BATCH is 1. Whoever flushes holds no lock that excludes insertion, as at
 * the end of a batched madvise().
 *
 * The tree keeps the order of the starts, and of insertion for the same start.
 *
 * WRONG: RESUME_NODE: goes on with the node that was next when the lock was dropped
 * WRONG: RESUME_START: goes on with the first that has the start of that node
 * WRONG: RESUME_BEHIND: goes on with the first that has a higher start
 * WRONG: NO_SEQ: insertion gives no tlb_seq, so that 3 has that of 0
 * WRONG: NO_SYNC: the interval is freed without waiting for a grace period
 * WRONG: NO_SECTION: the callbacks run outside of any SRCU section
 */

#define NR	4
#define NONE	NR
#define START(n)	((n) == 2)

bool spin;		/* subscriptions->lock */
bool section;		/* srcu_read_lock() */
bool linked[NR];	/* in the tree */
byte place[NR];		/* in the order of the tree, for the same start */
byte seq[NR];		/* mmu_interval_notifier::tlb_seq */
bool alive[NR];
bool changed[NR];	/* was not in the tree all the time */
byte called[NR];

inline take_lock()
{
	atomic { !spin -> spin = true }
}

#define BEFORE(a, b)	(START(a) < START(b) || \
			 (START(a) == START(b) && place[a] < place[b]))

/* interval_tree_iter_next(), or with NONE interval_tree_iter_first() */
inline next_of(result, from)
{
	atomic {
		result = NONE;
		for (n : 0 .. NR - 1) {
			if
			:: linked[n] && (from == NONE || BEFORE(from, n)) &&
			   (result == NONE || BEFORE(n, result)) -> result = n
			:: else
			fi
		}
	}
}

/* mn_tlb_itree_resume() */
inline resume(result)
{
#ifdef RESUME_NODE
	result = upcoming;
	assert(linked[result])
#else
	atomic {
		result = NONE;
		for (n : 0 .. NR - 1) {
			if
			:: linked[n] && (START(n) > start
#ifdef RESUME_START
			   || START(n) == start
#endif
#if !defined(RESUME_START) && !defined(RESUME_BEHIND)
			   || (START(n) == start && seq[n] >= from_seq)
#endif
			   ) && (result == NONE || BEFORE(n, result)) ->
				result = n
			:: else
			fi
		}
	}
#endif
}

init
{
	d_step {
		linked[0] = true; alive[0] = true;
		linked[1] = true; alive[1] = true; place[1] = 1; seq[1] = 1;
		linked[2] = true; alive[2] = true; place[2] = 2; seq[2] = 2;
		alive[3] = true; changed[3] = true
	};
	atomic { run flusher(); run inserter(); run remover() }
}

proctype flusher()
{
	byte n, node, batch, upcoming, from_seq;
	bit start;

#ifndef NO_SECTION
	section = true;
#endif
	take_lock();
	next_of(node, NONE);
	do
	:: node == NONE -> break
	:: else ->
		batch = node;
		next_of(upcoming, batch);
		if
		:: upcoming != NONE ->
			start = START(upcoming);
			from_seq = seq[upcoming]
		:: else
		fi;
		spin = false;
		/* invalidate_range() */
		assert(alive[batch]);
		called[batch]++;
		assert(called[batch] == 1);
		take_lock();
		if
		:: upcoming == NONE -> break
		:: else -> resume(node)
		fi
	od;
	spin = false;
	section = false;
	assert(changed[0] || called[0]);
	assert(changed[1] || called[1]);
	assert(changed[2] || called[2])
}

/* mn_tlb_itree_insert() */
proctype inserter()
{
	take_lock();
	place[3] = 3;
#ifndef NO_SEQ
	seq[3] = 3;
#endif
	linked[3] = true;
	spin = false
}

/* mmu_interval_notifier_remove() */
proctype remover()
{
	byte which;

	if
	:: which = 0
	:: which = 1
	:: which = 2
	fi;
	take_lock();
	changed[which] = true;
	linked[which] = false;
	spin = false;
#ifndef NO_SYNC
	/* synchronize_srcu() */
	!section;
#endif
	alive[which] = false
}
