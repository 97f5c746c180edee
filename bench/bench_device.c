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
#include <linux/sched.h>
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

static bool bench_is_full(const struct bench_call *call)
{
	return !call->start && call->end == ULONG_MAX;
}

/* The smallest naturally aligned block around a range. */
static unsigned long bench_block(unsigned long start, unsigned long last)
{
	start &= PAGE_MASK;
	last |= ~PAGE_MASK;
	return 1UL << fls_long(start ^ last);
}

/*
 * VT-d and AMD: one command for the IOMMU and one for the ATC for each block,
 * and one that waits. The stock drivers take a single block.
 */
static unsigned long bench_block_commands(const struct bench_call *call,
					  u64 *bytes)
{
	unsigned long split = 0, last = call->end - 1;

	if (bench_is_full(call))
		return 3;
#ifndef BENCH_STOCK
	split = iommu_sva_split_range(call->start, last);
#endif
	if (!split) {
		*bytes += bench_block(call->start, last);
		return 3;
	}
	*bytes += bench_block(call->start, split - 1) + bench_block(split, last);
	return 5;
}

/* As arm_smmu_cmdq_batch_add_range() splits a number of pages. */
static unsigned long bench_smmu_ranges(unsigned long nr_pages, bool of_level)
{
	unsigned long commands = 0, scale, num;

	if (!of_level && (nr_pages & 31) == 1)
		nr_pages++;
	for (; nr_pages; nr_pages -= num << scale) {
		scale = __ffs(nr_pages);
		num = (nr_pages >> scale) & 31;
		commands++;
	}
	return commands;
}

/* As in arm_smmu_sva_too_many_cmds() */
#define BENCH_SMMU_MAX_CMDS	62

/*
 * SMMUv3: the TLBI commands, one for the ATC, and two that wait. The stock driver
 * has a granule of a page, as in arm_smmu_mm_arch_invalidate_secondary_tlbs(), the
 * other that of the level, as in arm_smmu_sva_make_inv(). 4K pages.
 */
static unsigned long bench_smmu_commands(const struct bench_call *call,
					 bool ranges)
{
	unsigned long granule = 0, start = call->start, last = call->end - 1;
	bool of_level;

	if (bench_is_full(call))
		return 1 + 3;
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
		return bench_smmu_ranges((last - start + 1) >> PAGE_SHIFT,
					 of_level) + 3;
#ifdef BENCH_STOCK
	if (last - start + 1 >= granule << (ilog2(granule) - 3))
		return 1 + 3;
#else
	if (last - start + 1 > granule * BENCH_SMMU_MAX_CMDS)
		return 1 + 3;
#endif
	return (last - start + 1) / granule + 3;
}

static void bench_told(struct bench_dev *dev, const struct bench_call *call)
{
	struct bench_counters *count = &dev->count;
	unsigned long commands[BENCH_NR_MODELS];
	unsigned long flags;
	u64 until;
	int i;

	if (!dev->attach.count) {
		WRITE_ONCE(count->calls, count->calls + 1);
		return;
	}

	/* The drivers wait like that. */
	raw_spin_lock_irqsave(&dev->lock, flags);
	commands[BENCH_VTD] = bench_block_commands(call, &count->block_bytes);
	commands[BENCH_AMD] = commands[BENCH_VTD];
	commands[BENCH_SMMU] = bench_smmu_commands(call, false);
	commands[BENCH_SMMU_RANGE] = bench_smmu_commands(call, true);
	for (i = 0; i < BENCH_NR_MODELS; i++)
		count->commands[i] += commands[i];
	count->calls++;
	count->leaf += call->leaf;
	count->level += call->level >= 0;
	if (bench_is_full(call))
		count->full++;
	else
		count->bytes += call->end - call->start;
	if (dev->attach.latency) {
		until = ktime_get_ns() +
			commands[dev->attach.model] * dev->attach.latency;
		while (ktime_get_ns() < until)
			cpu_relax();
	}
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
	struct bench_call call = { start, end, false, -1 };

	bench_told(mn_to_dev(mn), &call);
}

static const struct mmu_notifier_ops bench_tlb_ops = {
	.arch_invalidate_secondary_tlbs = bench_op_tlb,
};
#else
static void bench_range(struct bench_dev *dev,
			const struct mmu_notifier_range *range)
{
	struct bench_call call = {
		range->start, range->end, mmu_notifier_range_leaf(range),
		mmu_notifier_range_level(range),
	};

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

static int bench_subscribe(struct bench_dev *dev, unsigned int i)
{
	const struct mmu_interval_notifier_ops *ops = &bench_interval_ops;
	struct bench_sub *sub = &dev->subs[i];

	sub->dev = dev;
	if (!bench_is_interval(dev)) {
		sub->mn.ops = dev->attach.kind == BENCH_KVM ?
			      &bench_kvm_ops : &bench_tlb_ops;
		return mmu_notifier_register(&sub->mn, dev->mm);
	}
	if (dev->attach.kind == BENCH_TLB_INTERVAL) {
#ifdef BENCH_STOCK
		return -EOPNOTSUPP;
#else
		ops = &bench_tlb_interval_ops;
#endif
	}
	return mmu_interval_notifier_insert(&sub->interval, dev->mm,
					    dev->attach.start +
					    i * dev->attach.step, PAGE_SIZE,
					    ops);
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
