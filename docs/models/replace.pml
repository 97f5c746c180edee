/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Replacement: a device that sees the second write of a CPU sees the first, if the
 * entry is cleared, reported, and only then set to the new page ("case B" of
 * Documentation/mm/mmu_notifier.rst).
 *
 * Page 0 and page 1 are write-protected for copy on write, and the device has
 * cached both. Two CPUs break the copy on write of one each, and a third writes to
 * 0, then to 1. The device reads 1, then 0. A write needs the new page.
 *
 * Memory is sequentially consistent, as if the third CPU wrote with release and
 * the device read with acquire.
 *
 * WRONG: SET_FIRST: the new page is set, and reported when the page table lock is dropped
 * WRONG: NO_CLEAR: reported before the old entry is gone
 */

#define NONE	0
#define OLD	1
#define NEW	2

byte pte[2] = OLD;
byte tlb[2] = OLD;
bool written[2];	/* the content of the new pages; that of the old is false */

/* wp_page_copy() */
proctype breaker(byte page)
{
#ifdef SET_FIRST
	pte[page] = NEW;
	tlb[page] = NONE
#else
#ifdef NO_CLEAR
	tlb[page] = NONE;
	pte[page] = NEW
#else
	/* ptep_clear_flush(), set_pte_at() */
	pte[page] = NONE;
	tlb[page] = NONE;
	pte[page] = NEW
#endif
#endif
}

active proctype writer()
{
	/* Faults, and waits for the page table lock, until it may write. */
	pte[0] == NEW;
	written[0] = true;
	pte[1] == NEW;
	written[1] = true
}

/* Walks at any time, ahead of an access too. */
active proctype walker()
{
end:
	do
	:: atomic { tlb[0] == NONE && pte[0] != NONE -> tlb[0] = pte[0] }
	:: atomic { tlb[1] == NONE && pte[1] != NONE -> tlb[1] = pte[1] }
	od
}

inline read(page, result)
{
	atomic { tlb[page] != NONE -> result = (tlb[page] == NEW && written[page]) }
}

active proctype device()
{
	bool first, second;

	read(1, second);
	read(0, first);
	assert(first || !second)
}

init
{
	atomic { run breaker(0); run breaker(1) }
}
