// SPDX-License-Identifier: GPL-2.0
/* Devices come, go and behave differently while all else goes on. */
#include "stress.h"

static const __u32 modes[] = {
	STLB_MODE_INVALIDATE_RANGE,
	STLB_MODE_INVALIDATE_RANGE | STLB_MODE_START_END,
	STLB_MODE_TWO_STEPS,
	STLB_MODE_TWO_STEPS | STLB_MODE_START_END,
};

static const __u64 latencies[] = { 0, 0, 1000, 20000, 200000 };

/* Some of those that come and go; its lock is the slot's. */
static struct dev *some_dev(struct thread *t)
{
	return &t->slot->devs[NR_KEPT + below(t, NR_DEVS - NR_KEPT)];
}

static int dev_locks[NR_DEVS];

static int *lock_of(struct thread *t, struct dev *dev)
{
	return &dev_locks[dev - t->slot->devs];
}

static void describe(struct thread *t, struct dev *dev)
{
	dev->mode = modes[below(t, ARRAY_SIZE(modes))];
	dev->entries = 1 << below(t, 12);
	dev->latency = latencies[below(t, ARRAY_SIZE(latencies))];
	if (one_in(t, 3)) {
		struct area a = some_area(t);

		dev->start = (uintptr_t)a.addr;
		dev->len = a.len;
		dev->mode = modes[below(t, 2)];
	}
}

/* In place of the one that was there, if any. */
static long attach(struct thread *t)
{
	struct dev *dev = some_dev(t), new;
	int *l = lock_of(t, dev);
	long ret;

	lock(l);
	dev_close(t->slot, dev);
	dev_open(&new);
	ret = new.fd < 0 ? -1 : 0;
	describe(t, &new);
	if (!ret) {
		*dev = new;
		ret = dev_attach(dev);
		if (!ret)
			ret = dev_threads(dev, below(t, 2), below(t, 1000));
		if (ret)
			dev_close(t->slot, dev);
	}
	unlock(l);
	return ret;
}

static long detach(struct thread *t)
{
	struct dev *dev = some_dev(t);
	int *l = lock_of(t, dev);

	lock(l);
	dev_close(t->slot, dev);
	unlock(l);
	return 0;
}

/* An interval is inserted and removed while it is invalidated. */
static long attach_for_a_moment(struct thread *t)
{
	struct area a = some_area(t);
	struct dev dev;
	long ret;

	dev_open(&dev);
	if (dev.fd < 0)
		return -1;
	describe(t, &dev);
	dev.start = (uintptr_t)a.addr;
	dev.len = a.len;
	dev.mode = modes[below(t, 2)];
	ret = dev_attach(&dev);
	if (!ret) {
		ret = dev_threads(&dev, 1, below(t, 1000));
		dev_fill(&dev, a.addr, a.len);
		touch(a.addr, a.len, true, 6);
		if (one_in(t, 2))
			madvise(a.addr, a.len, MADV_DONTNEED);
	}
	dev_close(t->slot, &dev);
	return ret;
}

/* Few pages: all are looked up again in each invalidation. */
static long heat(struct thread *t)
{
	struct dev *dev = &t->slot->devs[below(t, NR_DEVS)];
	struct area a = some_area(t);
	int *l = lock_of(t, dev);
	long ret = 0;

	if (a.len > 64 * page_size)
		a.len = 64 * page_size;
	lock(l);
	if (dev->attached)
		ret = dev_hot(dev, a.addr, one_in(t, 3) ? 0 : a.len);
	unlock(l);
	return ret;
}

static long fill_some(struct thread *t)
{
	struct dev *dev = &t->slot->devs[below(t, NR_DEVS)];
	struct area a = some_area(t);
	int *l = lock_of(t, dev);
	long ret = 0;

	lock(l);
	if (dev->attached)
		ret = dev_fill(dev, a.addr, a.len);
	unlock(l);
	return ret;
}

static long set_latency(struct thread *t)
{
	struct dev *dev = &t->slot->devs[below(t, NR_DEVS)];
	int *l = lock_of(t, dev);
	long ret = 0;

	lock(l);
	dev->latency = latencies[below(t, ARRAY_SIZE(latencies))];
	if (dev->attached)
		ret = ioctl(dev->fd, STLB_LATENCY, &dev->latency);
	unlock(l);
	return ret;
}

static long change_threads(struct thread *t)
{
	struct dev *dev = &t->slot->devs[below(t, NR_DEVS)];
	int *l = lock_of(t, dev);
	long ret = 0;

	lock(l);
	if (dev->attached)
		ret = dev_threads(dev, below(t, 3), below(t, 1000));
	unlock(l);
	return ret;
}

/*
 * What the control must not survive: its last word on the range is before the
 * page table goes, and what is hot is looked up then.
 */
static long tempt_control(struct thread *t)
{
	const size_t len = 16 * page_size;
	char *addr = lab(t);
	long ret;

	if (mmap(addr, len, PROT_READ | PROT_WRITE, MAP_PRIVATE |
		 MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED)
		return -1;
	touch(addr, len, true, 1);
	dev_hot(&t->slot->devs[0], addr, len);
	ret = munmap(addr, len);
	dev_hot(&t->slot->devs[0], NULL, 0);
	return ret;
}

const struct op ops_device[] = {
	{ "device, attach", 12, attach, NULL, true },
	{ "device, close", 8, detach, NULL, true },
	{ "device, interval", 10, attach_for_a_moment, NULL, true },
	{ "device, hot", 6, heat },
	{ "device, fill", 10, fill_some },
	{ "device, latency", 4, set_latency },
	{ "device, threads", 4, change_threads },
	{ "control, munmap", 20, tempt_control, NULL, false, true },
	{ }
};
