// SPDX-License-Identifier: GPL-2.0
/*
 * A device for make bench, which is put beside the sources of both kernels: it
 * subscribes to mmu notifiers, counts what it is told, and the commands that
 * drivers of hardware would give for it. With BENCH_STOCK for a kernel that has
 * arch_invalidate_secondary_tlbs() and its drivers.
 */
#include <linux/fs.h>
#include <linux/init.h>
#include <linux/ktime.h>
#include <linux/log2.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/mmu_notifier.h>
#include <linux/preempt.h>
#include <linux/rwsem.h>
#include <linux/sched.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/uaccess.h>

#ifndef BENCH_STOCK
#include "../drivers/iommu/iommu-sva.h"
#endif
#include "bench_device.h"

struct bench_dev;

/* One subscription. */
struct bench_sub {
	union {
		struct mmu_notifier mn;
		struct mmu_interval_notifier interval;
	};
	struct bench_dev *dev;
};

struct bench_dev {
	struct bench_attach attach;
	struct mm_struct *mm;
	struct bench_sub *subs;
	unsigned int nr;		/* that are registered */
	raw_spinlock_t lock;		/* of the counters, and the command queue */
	struct bench_counters count;
};

/* What a call says, on either kernel. */
struct bench_call {
	unsigned long start;
	unsigned long end;
	bool leaf;
	int level;
};

/* What a driver makes of it: how many commands, and whether these are for all of the mm. */
struct bench_cost {
	unsigned long commands;
	bool whole;
};

static bool bench_is_full(const struct bench_call *call)
{
	return !call->start && call->end == ULONG_MAX;
}

/*
 * VT-d and AMD: one command for the IOMMU and one for the ATC for each block,
 * and one that waits, as in cache_tag_flush_range() and in
 * amd_iommu_dev_flush_pasid_pages() with amd_iommu_dev_flush_complete(). The stock
 * drivers take a single block, and so do both for the whole mm.
 */
static struct bench_cost bench_block_cost(const struct bench_call *call)
{
	const bool whole = bench_is_full(call);

#ifndef BENCH_STOCK
	if (!whole && iommu_sva_split_range(call->start, call->end - 1))
		return (struct bench_cost) { 5, false };
#endif
	return (struct bench_cost) { 3, whole };
}

/* As arm_smmu_cmdq_batch_add_range() splits a number of pages. */
static unsigned long bench_smmu_ranges(unsigned long nr_pages, bool of_level)
{
	unsigned long commands = 0, scale, num;

	if (!of_level && (nr_pages & 31) == 1)
		nr_pages++;
	for (; nr_pages; nr_pages -= num << scale) {
		scale = __ffs(nr_pages);
#ifndef BENCH_STOCK
		scale = min(scale, 31);
#endif
		num = (nr_pages >> scale) & 31 ?: 31;
		commands++;
	}
	return commands;
}

/* As in arm_smmu_sva_too_many_cmds() */
#define BENCH_SMMU_MAX_CMDS	62

/*
 * SMMUv3: the TLBI commands, one for the ATC, and two that wait, as in
 * __arm_smmu_domain_inv_range(): TLBI and ATC are batches of their own. The stock
 * driver has a granule of a page, as in arm_smmu_mm_arch_invalidate_secondary_tlbs(),
 * and the limit of arm_smmu_inv_size_too_big(); the other has that of the level, as
 * in arm_smmu_sva_make_inv(). 4K pages, and no erratum that repeats commands.
 */
static struct bench_cost bench_smmu_cost(const struct bench_call *call,
					 bool ranges)
{
	const struct bench_cost all = { 1 + 3, true };
	unsigned long granule = 0, start = call->start, last = call->end - 1;
	bool of_level;

	if (bench_is_full(call))
		return all;
	if (call->level == PGTABLE_LEVEL_PTE)
		granule = PAGE_SIZE;
	else if (call->level == PGTABLE_LEVEL_PMD)
		granule = PMD_SIZE;
	else if (call->level == PGTABLE_LEVEL_PUD)
		granule = PUD_SIZE;
	of_level = call->leaf && granule;
	if (!of_level)
		granule = PAGE_SIZE;
	start = ALIGN_DOWN(start, granule);
	last |= granule - 1;
	if (ranges)
		return (struct bench_cost) {
			bench_smmu_ranges((last - start + 1) >> PAGE_SHIFT,
					  of_level) + 3, false,
		};
#ifdef BENCH_STOCK
	if (last - start + 1 >= granule << (ilog2(granule) - 3))
		return all;
#else
	if (last - start + 1 > granule * BENCH_SMMU_MAX_CMDS)
		return all;
#endif
	return (struct bench_cost) { (last - start + 1) / granule + 3, false };
}

#ifdef BENCH_STOCK
/*
 * ocxl: one command for each page, each of which is waited for. One for the whole
 * mm, as it is meant: the driver does not return then.
 */
static struct bench_cost bench_ocxl_cost(const struct bench_call *call)
{
	if (bench_is_full(call))
		return (struct bench_cost) { 1, true };
	return (struct bench_cost) {
		DIV_ROUND_UP(call->end - call->start, PAGE_SIZE), false,
	};
}
#else
/* As in ocxl_invalidate_range() */
#define BENCH_OCXL_MAX_CMDS	33

static unsigned long bench_ocxl_pages(const struct bench_call *call, int level,
				      unsigned long size)
{
	unsigned long first = ALIGN(call->start, size);

	if (call->level >= 0 && call->level != level)
		return 0;
	return first >= call->start && first < call->end ?
	       (call->end - first) / size : 0;
}

/* The same, for each size of page that may have changed; up to a limit. */
static struct bench_cost bench_ocxl_cost(const struct bench_call *call)
{
	unsigned long nr = bench_ocxl_pages(call, PGTABLE_LEVEL_PTE, PAGE_SIZE) +
			   bench_ocxl_pages(call, PGTABLE_LEVEL_PMD, SZ_2M) +
			   bench_ocxl_pages(call, PGTABLE_LEVEL_PUD, SZ_1G);

	if (!call->leaf || !call->start || !nr || nr > BENCH_OCXL_MAX_CMDS)
		return (struct bench_cost) { 1, true };
	return (struct bench_cost) { nr, false };
}
#endif

/*
 * What is held in a call. Neither kernel disables preemption on its own to make it,
 * so if it is, that is a spinlock of the caller, and that of a page table.
 */
static void bench_held(const struct bench_dev *dev, bool *held)
{
	held[BENCH_ALL] = true;
	held[BENCH_PTL] = preempt_count();
	held[BENCH_MMAP] = rwsem_is_locked(&dev->mm->mmap_lock);
	held[BENCH_MMAP_WRITE] = atomic_long_read(&dev->mm->mmap_lock.count) &
				 RWSEM_WRITER_LOCKED;
}

/* Return: how long it takes. */
static u64 bench_count(struct bench_dev *dev, const struct bench_call *call,
		       const bool *held)
{
	const struct bench_cost blocks = bench_block_cost(call);
	const struct bench_cost cost[BENCH_NR_MODELS] = {
		[BENCH_VTD] = blocks,
		[BENCH_AMD] = blocks,
		[BENCH_SMMU] = bench_smmu_cost(call, false),
		[BENCH_SMMU_RANGE] = bench_smmu_cost(call, true),
		[BENCH_OCXL] = bench_ocxl_cost(call),
	};
	struct bench_counters *count = &dev->count;
	int i, model;

	for (i = 0; i < BENCH_NR_HELD; i++)
		count->sum[i].calls += held[i];
	for (model = 0; model < BENCH_NR_MODELS; model++) {
		const u64 commands = cost[model].commands;

		for (i = 0; i < BENCH_NR_HELD; i++)
			count->sum[i].commands[model] += held[i] * commands;
		count->most[model] = max(count->most[model], commands);
		count->whole[model] += cost[model].whole;
	}
	count->leaf += call->leaf;
	count->level += call->level >= 0;
	if (bench_is_full(call))
		count->full++;
	else
		count->bytes += call->end - call->start;
	return cost[dev->attach.model].commands * dev->attach.latency;
}

static void bench_wait(u64 until)
{
	while (ktime_get_ns() < until)
		cpu_relax();
}

static void bench_took(struct bench_dev *dev, u64 start, const bool *held)
{
	const u64 ns = ktime_get_ns() - start;
	int i;

	for (i = 0; i < BENCH_NR_HELD; i++)
		dev->count.sum[i].ns += held[i] * ns;
}

/*
 * The least that a device can do, to measure what it costs to call it: the same on
 * either kernel. Return: whether more is to be done.
 */
static bool bench_called(struct bench_dev *dev)
{
	u64 *calls = &dev->count.sum[BENCH_ALL].calls;

	if (dev->attach.count)
		return true;
	WRITE_ONCE(*calls, *calls + 1);
	return false;
}

static noinline void bench_told(struct bench_dev *dev, const struct bench_call *call)
{
	bool held[BENCH_NR_HELD];
	unsigned long flags;
	u64 start, latency;

	bench_held(dev, held);
	start = ktime_get_ns();
	/* The drivers wait like that. */
	raw_spin_lock_irqsave(&dev->lock, flags);
	latency = bench_count(dev, call, held);
	bench_wait(latency ? ktime_get_ns() + latency : 0);
	bench_took(dev, start, held);
	raw_spin_unlock_irqrestore(&dev->lock, flags);
}

static struct bench_dev *mn_to_dev(struct mmu_notifier *mn)
{
	return container_of(mn, struct bench_sub, mn)->dev;
}

static int bench_op_start(struct mmu_notifier *mn,
			  const struct mmu_notifier_range *range)
{
	struct bench_dev *dev = mn_to_dev(mn);

	WRITE_ONCE(dev->count.brackets, dev->count.brackets + 1);
	return 0;
}

static void bench_op_end(struct mmu_notifier *mn,
			 const struct mmu_notifier_range *range)
{
}

static const struct mmu_notifier_ops bench_kvm_ops = {
	.invalidate_range_start = bench_op_start,
	.invalidate_range_end = bench_op_end,
};

static bool bench_op_interval(struct mmu_interval_notifier *interval,
			      const struct mmu_notifier_range *range,
			      unsigned long cur_seq)
{
	struct bench_dev *dev =
		container_of(interval, struct bench_sub, interval)->dev;

	mmu_interval_set_seq(interval, cur_seq);
	WRITE_ONCE(dev->count.brackets, dev->count.brackets + 1);
	return true;
}

static const struct mmu_interval_notifier_ops bench_interval_ops = {
	.invalidate = bench_op_interval,
};

#ifdef BENCH_STOCK
static void bench_op_tlb(struct mmu_notifier *mn, struct mm_struct *mm,
			 unsigned long start, unsigned long end)
{
	const struct bench_call call = { start, end, false, -1 };
	struct bench_dev *dev = mn_to_dev(mn);

	if (bench_called(dev))
		bench_told(dev, &call);
}

static const struct mmu_notifier_ops bench_tlb_ops = {
	.arch_invalidate_secondary_tlbs = bench_op_tlb,
};
#else
static struct bench_call bench_call(const struct mmu_notifier_range *range)
{
	return (struct bench_call) {
		range->start, range->end, mmu_notifier_range_leaf(range),
		mmu_notifier_range_level(range),
	};
}

static void bench_range(struct bench_dev *dev,
			const struct mmu_notifier_range *range)
{
	struct bench_call call;

	if (!bench_called(dev))
		return;
	call = bench_call(range);
	bench_told(dev, &call);
}

static void bench_op_tlb(struct mmu_notifier *mn,
			 const struct mmu_notifier_range *range)
{
	bench_range(mn_to_dev(mn), range);
}

/* Nothing is cached, there is nothing to stop. */
static void bench_op_release(struct mmu_notifier *mn, struct mm_struct *mm)
{
}

static const struct mmu_notifier_ops bench_tlb_ops = {
	.release = bench_op_release,
	.invalidate_range = bench_op_tlb,
};

static const struct mmu_notifier_ops bench_tlb_in_range_ops = {
	.release = bench_op_release,
	.invalidate_range_start = bench_op_start,
	.invalidate_range_end = bench_op_end,
	.invalidate_range = bench_op_tlb,
};

/* AMD's driver queues for all devices before it waits. */
static bool bench_op_issue(struct mmu_notifier *mn,
			   const struct mmu_notifier_range *range,
			   unsigned long *cookie)
{
	struct bench_dev *dev = mn_to_dev(mn);
	const struct bench_call call = bench_call(range);
	bool held[BENCH_NR_HELD];

	bench_held(dev, held);
	guard(raw_spinlock_irqsave)(&dev->lock);
	*cookie = ktime_get_ns() + bench_count(dev, &call, held);
	return true;
}

static void bench_op_finish(struct mmu_notifier *mn,
			    const struct mmu_notifier_range *range,
			    unsigned long cookie)
{
	struct bench_dev *dev = mn_to_dev(mn);
	const u64 start = ktime_get_ns();
	bool held[BENCH_NR_HELD];

	bench_held(dev, held);
	bench_wait(cookie);
	guard(raw_spinlock_irqsave)(&dev->lock);
	bench_took(dev, start, held);
}

static const struct mmu_notifier_ops bench_tlb_steps_ops = {
	.release = bench_op_release,
	.invalidate_range_issue = bench_op_issue,
	.invalidate_range_finish = bench_op_finish,
};

static void bench_op_tlb_interval(struct mmu_interval_notifier *interval,
				  const struct mmu_notifier_range *range)
{
	bench_range(container_of(interval, struct bench_sub, interval)->dev,
		    range);
}

static const struct mmu_interval_notifier_ops bench_tlb_interval_ops = {
	.invalidate = bench_op_interval,
	.invalidate_range = bench_op_tlb_interval,
};
#endif

static bool bench_is_interval(const struct bench_dev *dev)
{
	return dev->attach.kind == BENCH_INTERVAL ||
	       dev->attach.kind == BENCH_TLB_INTERVAL;
}

/* NULL: the kernel has no such kind. */
static const struct mmu_notifier_ops *bench_ops(const struct bench_dev *dev)
{
	if (dev->attach.kind == BENCH_KVM)
		return &bench_kvm_ops;
#ifdef BENCH_STOCK
	return dev->attach.kind == BENCH_TLB ? &bench_tlb_ops : NULL;
#else
	if (dev->attach.kind == BENCH_TLB_IN_RANGE)
		return &bench_tlb_in_range_ops;
	if (dev->attach.count && dev->attach.model == BENCH_AMD)
		return &bench_tlb_steps_ops;
	return &bench_tlb_ops;
#endif
}

static const struct mmu_interval_notifier_ops *
bench_interval_ops_of(const struct bench_dev *dev)
{
	if (dev->attach.kind == BENCH_INTERVAL)
		return &bench_interval_ops;
#ifdef BENCH_STOCK
	return NULL;
#else
	return &bench_tlb_interval_ops;
#endif
}

static int bench_subscribe(struct bench_dev *dev, unsigned int i)
{
	const struct mmu_interval_notifier_ops *interval_ops;
	struct bench_sub *sub = &dev->subs[i];

	sub->dev = dev;
	if (!bench_is_interval(dev)) {
		sub->mn.ops = bench_ops(dev);
		return sub->mn.ops ? mmu_notifier_register(&sub->mn, dev->mm) :
				     -EOPNOTSUPP;
	}
	interval_ops = bench_interval_ops_of(dev);
	if (!interval_ops)
		return -EOPNOTSUPP;
	return mmu_interval_notifier_insert(&sub->interval, dev->mm,
					    dev->attach.start +
					    i * dev->attach.step, PAGE_SIZE,
					    interval_ops);
}

static void bench_unsubscribe(struct bench_dev *dev)
{
	while (dev->nr) {
		struct bench_sub *sub = &dev->subs[--dev->nr];

		if (bench_is_interval(dev))
			mmu_interval_notifier_remove(&sub->interval);
		else
			mmu_notifier_unregister(&sub->mn, dev->mm);
		cond_resched();
	}
	kvfree(dev->subs);
	dev->subs = NULL;
}

static long bench_attach(struct bench_dev *dev, const void __user *arg)
{
	int ret;

	if (dev->subs)
		return -EBUSY;
	if (copy_from_user(&dev->attach, arg, sizeof(dev->attach)))
		return -EFAULT;
	if (dev->attach.kind > BENCH_TLB_INTERVAL || !dev->attach.nr ||
	    dev->attach.model >= BENCH_NR_MODELS)
		return -EINVAL;
	dev->subs = kvcalloc(dev->attach.nr, sizeof(*dev->subs), GFP_KERNEL);
	if (!dev->subs)
		return -ENOMEM;
	dev->mm = current->mm;
	for (; dev->nr < dev->attach.nr; dev->nr++) {
		ret = bench_subscribe(dev, dev->nr);
		if (ret) {
			bench_unsubscribe(dev);
			return ret;
		}
		cond_resched();
	}
	return 0;
}

/* The guest's program has each file for itself and calls from one thread. */
static long bench_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct bench_dev *dev = file->private_data;

	switch (cmd) {
	case BENCH_ATTACH:
		return bench_attach(dev, (void __user *)arg);
	case BENCH_READ:
		return copy_to_user((void __user *)arg, &dev->count,
				    sizeof(dev->count)) ? -EFAULT : 0;
	case BENCH_RESET:
		dev->count = (struct bench_counters) { };
		return 0;
	default:
		return -ENOTTY;
	}
}

static int bench_open(struct inode *inode, struct file *file)
{
	struct bench_dev *dev = kzalloc(sizeof(*dev), GFP_KERNEL);

	if (!dev)
		return -ENOMEM;
	raw_spin_lock_init(&dev->lock);
	file->private_data = dev;
	return 0;
}

static int bench_release(struct inode *inode, struct file *file)
{
	struct bench_dev *dev = file->private_data;

	bench_unsubscribe(dev);
	kfree(dev);
	return 0;
}

static const struct file_operations bench_fops = {
	.open = bench_open,
	.release = bench_release,
	.unlocked_ioctl = bench_ioctl,
};

static struct miscdevice bench_misc = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "mmu_notifier_bench",
	.fops = &bench_fops,
	.mode = 0600,
};

builtin_misc_device(bench_misc);
