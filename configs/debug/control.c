// SPDX-License-Identifier: GPL-2.0
/*
 * What a debug kernel has to complain about: a bug per case. run-tests puts this
 * beside the sources of such a kernel, and boots it for each case that
 * configs/debug/controls names.
 */
#include <kunit/test.h>
#include <linux/completion.h>
#include <linux/delay.h>
#include <linux/kthread.h>
#include <linux/list.h>
#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/mmu_notifier.h>
#include <linux/mutex.h>
#include <linux/page_table_check.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/uaccess.h>
#include <linux/vmalloc.h>

/* Memory. */

static void slab_read_after_free(struct kunit *test)
{
	u8 *p = kmalloc(64, GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, p);
	OPTIMIZER_HIDE_VAR(p);
	kfree(p);
	kunit_info(test, "%u\n", READ_ONCE(p[8]));
}

static void page_read_after_free(struct kunit *test)
{
	struct page *page = alloc_page(GFP_KERNEL);
	u8 *p;

	KUNIT_ASSERT_NOT_NULL(test, page);
	p = page_address(page);
	OPTIMIZER_HIDE_VAR(p);
	__free_page(page);
	kunit_info(test, "%u\n", READ_ONCE(p[8]));
}

static void vmalloc_out_of_bounds(struct kunit *test)
{
	u8 *p = vmalloc(100);

	KUNIT_ASSERT_NOT_NULL(test, p);
	OPTIMIZER_HIDE_VAR(p);
	kunit_info(test, "%u\n", READ_ONCE(p[108]));
	vfree(p);
}

static void stack_out_of_bounds(struct kunit *test)
{
	u8 array[16] = { };
	u8 *p = array;

	OPTIMIZER_HIDE_VAR(p);
	kunit_info(test, "%u\n", READ_ONCE(p[16]));
}

/* More objects than a slab has, so that the one that was freed is among them. */
static void slab_write_after_free(struct kunit *test)
{
	struct kmem_cache *cache;
	static u8 *objects[256];
	unsigned int i;
	u8 *p;

	cache = kmem_cache_create("debug_control", 64, 0, SLAB_NO_MERGE, NULL);
	KUNIT_ASSERT_NOT_NULL(test, cache);
	p = kmem_cache_alloc(cache, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, p);
	OPTIMIZER_HIDE_VAR(p);
	kmem_cache_free(cache, p);
	WRITE_ONCE(p[32], 1);
	for (i = 0; i < ARRAY_SIZE(objects); i++)
		objects[i] = kmem_cache_alloc(cache, GFP_KERNEL);
	for (i = 0; i < ARRAY_SIZE(objects); i++)
		kmem_cache_free(cache, objects[i]);
	kmem_cache_destroy(cache);
}

/* Likewise: a page that was freed is the one that comes next, or soon. */
static void page_write_after_free(struct kunit *test)
{
	struct page *page = alloc_page(GFP_KERNEL);
	static struct page *pages[256];
	unsigned int i;
	u8 *p;

	KUNIT_ASSERT_NOT_NULL(test, page);
	p = page_address(page);
	OPTIMIZER_HIDE_VAR(p);
	__free_page(page);
	WRITE_ONCE(p[32], 1);
	for (i = 0; i < ARRAY_SIZE(pages); i++)
		pages[i] = alloc_page(GFP_KERNEL);
	for (i = 0; i < ARRAY_SIZE(pages); i++)
		__free_page(pages[i]);
}

static unsigned long touched_page(struct kunit *test)
{
	unsigned long addr;

	KUNIT_ASSERT_EQ(test, 0, kunit_attach_mm());
	addr = kunit_vm_mmap(test, NULL, 0, PAGE_SIZE, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS, 0);
	KUNIT_ASSERT_NE(test, 0, addr);
	KUNIT_ASSERT_EQ(test, 0, put_user(1, (u8 __user *)addr));
	return addr;
}

#ifdef CONFIG_PAGE_TABLE_CHECK
/* What the allocator does when it gets a page, done while the page is mapped. */
static void page_free_mapped(struct kunit *test)
{
	unsigned long addr = touched_page(test);
	struct page *page;

	KUNIT_ASSERT_EQ(test, 1, get_user_pages_fast(addr, 1, 0, &page));
	page_table_check_free(page, 0);
	put_page(page);
}
#endif

/* Undefined behaviour. */

static void shift_too_far(struct kunit *test)
{
	int n = 35;

	OPTIMIZER_HIDE_VAR(n);
	kunit_info(test, "%d\n", 1 << n);
}

static void index_too_large(struct kunit *test)
{
	static int array[4];
	int n = 4;

	OPTIMIZER_HIDE_VAR(n);
	kunit_info(test, "%d\n", array[n]);
}

static void bool_of_three(struct kunit *test)
{
	bool b;

	*(volatile u8 *)&b = 3;
	kunit_info(test, "%d\n", *(volatile bool *)&b);
}

/* Locks. */

static DEFINE_MUTEX(mutex_a);
static DEFINE_MUTEX(mutex_b);
static DEFINE_SPINLOCK(some_spinlock);
static DEFINE_RAW_SPINLOCK(some_raw_spinlock);

static void sleep_in_atomic(struct kunit *test)
{
	preempt_disable();
	might_sleep();
	preempt_enable();
}

static void lock_order(struct kunit *test)
{
	mutex_lock(&mutex_a);
	mutex_lock(&mutex_b);
	mutex_unlock(&mutex_b);
	mutex_unlock(&mutex_a);
	mutex_lock(&mutex_b);
	mutex_lock(&mutex_a);
	mutex_unlock(&mutex_a);
	mutex_unlock(&mutex_b);
}

static void spinlock_in_raw_spinlock(struct kunit *test)
{
	raw_spin_lock(&some_raw_spinlock);
	spin_lock(&some_spinlock);
	spin_unlock(&some_spinlock);
	raw_spin_unlock(&some_raw_spinlock);
}

static void spinlock_without_preemption(struct kunit *test)
{
	preempt_disable();
	spin_lock(&some_spinlock);
	spin_unlock(&some_spinlock);
	preempt_enable();
}

struct item {
	struct hlist_node node;
	struct rcu_head rcu;
};

static void rcu_list_unlocked(struct kunit *test)
{
	static HLIST_HEAD(list);
	struct item *item, one;

	hlist_add_head_rcu(&one.node, &list);
	hlist_for_each_entry_rcu(item, &list, node)
		kunit_info(test, "an item\n");
	hlist_del_rcu(&one.node);
}

static void free_nothing(struct rcu_head *rcu)
{
}

static void call_rcu_twice(struct kunit *test)
{
	static struct item item;

	rcu_read_lock();
	call_rcu(&item.rcu, free_nothing);
	call_rcu(&item.rcu, free_nothing);
	rcu_read_unlock();
	rcu_barrier();
}

static void list_add_twice(struct kunit *test)
{
	static struct list_head head = LIST_HEAD_INIT(head), node;

	list_add(&node, &head);
	list_add(&node, &head);
}

/* A secondary TLB must not sleep in invalidate_range(), whatever lock is held. */
static void sleepy_invalidate_range(struct mmu_notifier *mn,
				    const struct mmu_notifier_range *range)
{
	might_sleep();
}

static void sleepy_release(struct mmu_notifier *mn, struct mm_struct *mm)
{
}

static const struct mmu_notifier_ops sleepy_ops = {
	.release = sleepy_release,
	.invalidate_range = sleepy_invalidate_range,
};

static void sleepy_secondary_tlb(struct kunit *test)
{
	unsigned long addr = touched_page(test);
	struct mmu_notifier mn = { .ops = &sleepy_ops };

	KUNIT_ASSERT_EQ(test, 0, mmu_notifier_register(&mn, current->mm));
	KUNIT_EXPECT_EQ(test, 0, vm_munmap(addr, PAGE_SIZE));
	mmu_notifier_unregister(&mn, current->mm);
}

/* Data races, each as long as KCSAN needs for it. */

static unsigned long shared;
static int busy;

static void plain_access(void)
{
	shared++;
}

/* Mutual exclusion on x86, but not where stores pass one another. */
static void unlock_without_release(void)
{
	if (!xchg(&busy, 1)) {
		shared++;
		WRITE_ONCE(busy, 0);
	}
}

struct racer {
	void (*access)(void);
	struct completion done;
};

static int race_thread(void *data)
{
	struct racer *racer = data;
	unsigned long end = jiffies + 10 * HZ;

	while (time_before(jiffies, end)) {
		racer->access();
		cond_resched();
	}
	complete(&racer->done);
	return 0;
}

static void race(struct kunit *test, void (*access)(void))
{
	struct racer racer = { .access = access };
	struct task_struct *other;

	init_completion(&racer.done);
	other = kthread_run(race_thread, &racer, "debug_control");
	KUNIT_ASSERT_FALSE(test, IS_ERR(other));
	while (!completion_done(&racer.done)) {
		access();
		cond_resched();
	}
	wait_for_completion(&racer.done);
}

static void unmarked_access(struct kunit *test)
{
	race(test, plain_access);
}

static void missing_barrier(struct kunit *test)
{
	race(test, unlock_without_release);
}

static struct kunit_case cases[] = {
	KUNIT_CASE(slab_read_after_free),
	KUNIT_CASE(page_read_after_free),
	KUNIT_CASE(vmalloc_out_of_bounds),
	KUNIT_CASE(stack_out_of_bounds),
	KUNIT_CASE(slab_write_after_free),
	KUNIT_CASE(page_write_after_free),
#ifdef CONFIG_PAGE_TABLE_CHECK
	KUNIT_CASE(page_free_mapped),
#endif
	KUNIT_CASE(shift_too_far),
	KUNIT_CASE(index_too_large),
	KUNIT_CASE(bool_of_three),
	KUNIT_CASE(sleep_in_atomic),
	KUNIT_CASE(lock_order),
	KUNIT_CASE(spinlock_in_raw_spinlock),
	KUNIT_CASE(spinlock_without_preemption),
	KUNIT_CASE(rcu_list_unlocked),
	KUNIT_CASE(call_rcu_twice),
	KUNIT_CASE(list_add_twice),
	KUNIT_CASE(sleepy_secondary_tlb),
	KUNIT_CASE(unmarked_access),
	KUNIT_CASE(missing_barrier),
	{ }
};

static struct kunit_suite suite = {
	.name = "debug_control",
	.test_cases = cases,
};
kunit_test_suite(suite);
