/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Two steps: an invalidation that is issued first and finished later is as
 * synchronous as one in a single step.
 *
 * Two CPUs unmap one page each, of the same mm. There are two devices in two
 * steps, with a command queue each, and one in a single step. MN_MAX_ISSUED is 1,
 * so that the second device does not fit any more.
 *
 * WRONG: NO_FINISH: the page is freed when all are issued
 * WRONG: CLEAR_BETWEEN: the entry changes between the two steps
 * WRONG: SHARED_COOKIE: the cookie is one for the subscription, not one for the call
 * WRONG: OVERFLOW: what does not fit takes the place of what is not finished yet
 * WRONG: RETURNS_FALSE: a driver says that there is nothing to finish, but its command is under way
 * WRONG: ONE_AFTER_FREE: the device in a single step is told after the page was freed
 */

#define NR_CPUS	2
#define NR	3	/* devices, the last in a single step */

bool unmapped[NR_CPUS];	/* one page for each CPU */
byte tail[NR], head[NR];
/* The page to drop, by the place in the queue. */
byte queue[6];
#define COMMAND(d, place)	queue[(d) * 2 + (place)]
/* What a device has cached, by the page. */
bool tlb[6];
#define TLB(d, page)	tlb[(d) * 2 + (page)]
#ifdef SHARED_COOKIE
byte cookies[NR];
#define COOKIE	cookies[d]
#else
#define COOKIE	cookie
#endif

/* invalidate_range_issue() of the driver */
inline issue()
{
	/* "It is 0 before the call" */
	COOKIE = 0;
	atomic {
		COMMAND(d, tail[d]) = _pid;
		tail[d]++;
		COOKIE = tail[d]
	}
}

/* invalidate_range_finish() of the driver */
inline finish(which)
{
	atomic { d = which; head[d] >= COOKIE }
}

active [NR_CPUS] proctype cpu()
{
	byte i, d, issued;
	bool any;
#ifndef SHARED_COOKIE
	byte cookie;
#endif

#ifndef CLEAR_BETWEEN
	unmapped[_pid] = true;
#endif
	/* mn_issue() */
	do
	:: i < NR - 1 ->
#ifndef OVERFLOW
		if
		:: any -> finish(issued); any = false
		:: else
		fi;
#endif
		d = i;
		issue();
#ifdef RETURNS_FALSE
		any = (i == 0);
#else
		any = true;
#endif
		issued = i;
		i++
	:: else -> break
	od;
#ifdef CLEAR_BETWEEN
	unmapped[_pid] = true;
#endif
#ifndef ONE_AFTER_FREE
	/* mn_hlist_invalidate_range(), mn_tlb_itree_invalidate() */
	TLB(NR - 1, _pid) = false;
#endif
#ifndef NO_FINISH
	/* mn_finish() */
	if
	:: any -> finish(issued)
#ifdef RETURNS_FALSE
	:: else
#endif
	fi;
#endif
	/* The page is freed. */
	assert(!TLB(0, _pid) && !TLB(1, _pid) && !TLB(2, _pid));
#ifdef ONE_AFTER_FREE
	TLB(NR - 1, _pid) = false
#endif
}

/* Walks at any time, and works on its queue, see fill.pml. */
active [NR] proctype device()
{
	byte d = _pid - NR_CPUS;

end:
	do
	:: atomic { !unmapped[0] && !TLB(d, 0) -> TLB(d, 0) = true }
	:: atomic { !unmapped[1] && !TLB(d, 1) -> TLB(d, 1) = true }
	:: atomic { head[d] < tail[d] -> TLB(d, COMMAND(d, head[d])) = false; head[d]++ }
	od
}
