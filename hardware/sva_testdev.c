// SPDX-License-Identifier: GPL-2.0
/*
 * Driver of QEMU's sva-testdev (docs/specs/sva-testdev.rst there), for make hardware,
 * which puts it beside the sources of both kernels. An open file is a channel of the
 * device that accesses the memory of the process that opened it.
 */
#include <linux/delay.h>
#include <linux/fs.h>
#include <linux/gfp.h>
#include <linux/io.h>
#include <linux/io-64-nonatomic-lo-hi.h>
#include <linux/iommu.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/pci.h>
#include <linux/pgtable.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/vmalloc.h>

#include "sva_testdev.h"

#define REG_ATC_USED		0x18
#define REG_LOG_TOTAL		0x28
#define REG_LOG_SELECT		0x30
#define REG_LOG_PASID		0x38
#define REG_LOG_ADDR		0x40
#define REG_LOG_SIZE		0x48
#define REG_LOG_DROPPED		0x50

#define CHANNELS		16
#define CHANNEL(nr)		(0x1000 + (nr) * 0x100)
#define CH_CMD			0x00
#define CH_STATUS		0x08
#define CH_PASID		0x10
#define CH_FLAGS		0x18
#define CH_ADDR			0x20
#define CH_COUNT		0x28
#define CH_STRIDE		0x30
#define CH_DATA			0x38
#define CH_FAULT_ADDR		0x40
#define CH_ACCESSES		0x48
#define CH_FAULTS		0x50
#define CH_HITS			0x58
#define CH_REQUESTS		0x60
#define CH_PAGE_REQUESTS	0x68
#define CH_INVALIDATIONS	0x70
#define CH_DROPPED		0x78

#define CMD_ATTACH		1
#define CMD_DETACH		2

/* How long a page request may take, on an emulated CPU. */
#define PATIENCE		(60 * HZ)

struct sva_dev {
	struct pci_dev *pdev;
	void __iomem *bar;
	struct mutex lock;		/* of channels, and of the log's registers */
	unsigned long channels;		/* in use */
	struct miscdevice misc;
	char name[16];
};

struct sva_file {
	struct sva_dev *dev;
	void __iomem *regs;
	struct mutex lock;		/* one call at a time */
	unsigned int channel;
	struct iommu_sva *sva;		/* NULL once unbound */
	u32 pasid;
	struct vm_struct *area;		/* of the kernel, for SVA_KERNEL_* */
	struct page *table, *below;
};

static int sva_open(struct inode *inode, struct file *file)
{
	struct sva_dev *dev = container_of(file->private_data, struct sva_dev, misc);
	struct sva_file *f;
	int err;

	f = kzalloc_obj(*f);
	if (!f)
		return -ENOMEM;
	f->dev = dev;
	mutex_init(&f->lock);

	mutex_lock(&dev->lock);
	f->channel = find_first_zero_bit(&dev->channels, CHANNELS);
	if (f->channel < CHANNELS)
		__set_bit(f->channel, &dev->channels);
	mutex_unlock(&dev->lock);
	err = -EBUSY;
	if (f->channel == CHANNELS)
		goto out_free;

	f->sva = iommu_sva_bind_device(&dev->pdev->dev, current->mm);
	err = PTR_ERR_OR_ZERO(f->sva);
	if (err)
		goto out_channel;
	f->pasid = iommu_sva_get_pasid(f->sva);

	f->regs = dev->bar + CHANNEL(f->channel);
	writeq(f->pasid, f->regs + CH_PASID);
	writeq(CMD_ATTACH, f->regs + CH_CMD);
	err = -EIO;
	if (readq(f->regs + CH_STATUS) != SVA_DONE)
		goto out_unbind;
	file->private_data = f;
	return 0;

out_unbind:
	iommu_sva_unbind_device(f->sva);
out_channel:
	mutex_lock(&dev->lock);
	__clear_bit(f->channel, &dev->channels);
	mutex_unlock(&dev->lock);
out_free:
	kfree(f);
	return err;
}

/*
 * A table of PMDs, as vmalloc() leaves it behind. The first entry makes it one; what is
 * looked up is the second, so that the IOMMU gets no further than this table.
 */
static int sva_kernel_map(struct sva_file *f, u64 *address)
{
	unsigned long addr;
	int err;

	if (f->area)
		return -EBUSY;
	/* Aligned to its size. */
	f->area = get_vm_area(PUD_SIZE, VM_IOREMAP);
	f->below = alloc_page(GFP_KERNEL | __GFP_ZERO);
	if (!f->area || !f->below)
		return -ENOMEM;
	addr = (unsigned long)f->area->addr;
	err = vmap_page_range(addr, addr + PAGE_SIZE, page_to_phys(f->below), PAGE_KERNEL);
	if (err)
		return err;
	f->table = pud_page(*pud_offset(p4d_offset(pgd_offset_k(addr), addr), addr));
	get_page(f->table);
	*address = addr + PMD_SIZE;
	return 0;
}

/* A leaf in place of the table frees it, but for our reference. */
static int sva_kernel_free(struct sva_file *f)
{
	unsigned long addr, end = jiffies + PATIENCE;
	u64 *entries;
	int err;

	if (!f->table)
		return -EINVAL;
	addr = (unsigned long)f->area->addr;
	vunmap_range(addr, addr + PAGE_SIZE);
	/* Nobody accesses what it maps. */
	err = vmap_page_range(addr, addr + PUD_SIZE, PUD_SIZE, PAGE_KERNEL);
	if (err)
		return err;
	while (page_count(f->table) > 1) {
		if (time_after(jiffies, end))
			return -ETIMEDOUT;
		usleep_range(1000, 2000);
	}
	entries = page_address(f->table);
	for (unsigned int i = 0; i < PTRS_PER_PMD; i++)
		entries[i] = page_to_phys(f->below) | _PAGE_PRESENT | _PAGE_RW | _PAGE_USER;
	return 0;
}

static u64 sva_kernel_done(struct sva_file *f)
{
	u64 *entries, changed = 0;
	unsigned long addr;

	if (f->table) {
		entries = page_address(f->table);
		for (unsigned int i = 0; i < PTRS_PER_PMD; i++)
			changed += entries[i] != (page_to_phys(f->below) | _PAGE_PRESENT |
						  _PAGE_RW | _PAGE_USER);
		addr = (unsigned long)f->area->addr;
		vunmap_range(addr, addr + PUD_SIZE);
		put_page(f->table);
		f->table = NULL;
	}
	if (f->area)
		free_vm_area(f->area);
	f->area = NULL;
	if (f->below)
		__free_page(f->below);
	f->below = NULL;
	return changed;
}

static int sva_release(struct inode *inode, struct file *file)
{
	struct sva_file *f = file->private_data;
	struct sva_dev *dev = f->dev;

	/* The device is to be done with the PASID before it is unbound. */
	writeq(SVA_STOP, f->regs + CH_CMD);
	if (f->sva)
		iommu_sva_unbind_device(f->sva);
	writeq(CMD_DETACH, f->regs + CH_CMD);
	sva_kernel_done(f);

	mutex_lock(&dev->lock);
	__clear_bit(f->channel, &dev->channels);
	mutex_unlock(&dev->lock);
	kfree(f);
	return 0;
}

static int sva_command(struct sva_file *f, struct sva_command *c)
{
	unsigned long end = jiffies + PATIENCE;
	u64 status;

	if (c->command == SVA_STOP) {
		writeq(SVA_STOP, f->regs + CH_CMD);
		c->status = readq(f->regs + CH_STATUS);
		return 0;
	}
	if (c->command != SVA_START && c->command != SVA_PROBE)
		return -EINVAL;
	if (readq(f->regs + CH_STATUS) == SVA_BUSY)
		return -EBUSY;

	writeq(c->flags, f->regs + CH_FLAGS);
	writeq(c->addr, f->regs + CH_ADDR);
	writeq(c->count, f->regs + CH_COUNT);
	writeq(c->stride, f->regs + CH_STRIDE);
	writeq(c->data, f->regs + CH_DATA);
	writeq(c->command, f->regs + CH_CMD);
	for (;;) {
		status = readq(f->regs + CH_STATUS);
		if (status != SVA_BUSY || (c->flags & SVA_LOOP))
			break;
		/* It waits for a page. */
		if (time_after(jiffies, end)) {
			writeq(SVA_STOP, f->regs + CH_CMD);
			return -ETIMEDOUT;
		}
		usleep_range(50, 100);
	}
	c->status = status;
	c->data = readq(f->regs + CH_DATA);
	c->fault_addr = readq(f->regs + CH_FAULT_ADDR);
	c->pasid = f->pasid;
	return 0;
}

static void sva_counters(struct sva_file *f, struct sva_counters *c)
{
	c->accesses = readq(f->regs + CH_ACCESSES);
	c->faults = readq(f->regs + CH_FAULTS);
	c->hits = readq(f->regs + CH_HITS);
	c->requests = readq(f->regs + CH_REQUESTS);
	c->page_requests = readq(f->regs + CH_PAGE_REQUESTS);
	c->invalidations = readq(f->regs + CH_INVALIDATIONS);
	c->dropped = readq(f->regs + CH_DROPPED);
	c->atc_used = readq(f->dev->bar + REG_ATC_USED);
	c->log_total = readq(f->dev->bar + REG_LOG_TOTAL);
	c->pasid = f->pasid;
	c->status = readq(f->regs + CH_STATUS);
}

static void sva_log(struct sva_file *f, struct sva_log *l)
{
	void __iomem *bar = f->dev->bar;

	mutex_lock(&f->dev->lock);
	writeq(l->index, bar + REG_LOG_SELECT);
	l->pasid = readq(bar + REG_LOG_PASID);
	l->addr = readq(bar + REG_LOG_ADDR);
	l->size = readq(bar + REG_LOG_SIZE);
	l->dropped = readq(bar + REG_LOG_DROPPED);
	mutex_unlock(&f->dev->lock);
}

static void sva_unbind(struct sva_file *f)
{
	if (f->sva)
		iommu_sva_unbind_device(f->sva);
	f->sva = NULL;
}

static long sva_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct sva_file *f = file->private_data;
	void __user *user = (void __user *)arg;
	union {
		struct sva_command command;
		struct sva_counters counters;
		struct sva_log log;
		u64 kernel;
	} u = {};
	long ret = 0;

	if (_IOC_SIZE(cmd) > sizeof(u))
		return -ENOTTY;
	if ((_IOC_DIR(cmd) & _IOC_WRITE) && copy_from_user(&u, user, _IOC_SIZE(cmd)))
		return -EFAULT;

	mutex_lock(&f->lock);
	switch (cmd) {
	case SVA_COMMAND:
		ret = sva_command(f, &u.command);
		break;
	case SVA_COUNTERS:
		sva_counters(f, &u.counters);
		break;
	case SVA_LOG:
		sva_log(f, &u.log);
		break;
	case SVA_UNBIND:
		sva_unbind(f);
		break;
	case SVA_KERNEL_MAP:
		ret = sva_kernel_map(f, &u.kernel);
		break;
	case SVA_KERNEL_FREE:
		ret = sva_kernel_free(f);
		break;
	case SVA_KERNEL_DONE:
		u.kernel = sva_kernel_done(f);
		break;
	default:
		ret = -ENOTTY;
	}
	mutex_unlock(&f->lock);

	if (!ret && (_IOC_DIR(cmd) & _IOC_READ) && copy_to_user(user, &u, _IOC_SIZE(cmd)))
		return -EFAULT;
	return ret;
}

static const struct file_operations sva_fops = {
	.owner = THIS_MODULE,
	.open = sva_open,
	.release = sva_release,
	.unlocked_ioctl = sva_ioctl,
};

static int sva_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	static atomic_t nr = ATOMIC_INIT(-1);
	struct sva_dev *dev;
	int err;

	dev = devm_kzalloc(&pdev->dev, sizeof(*dev), GFP_KERNEL);
	if (!dev)
		return -ENOMEM;
	dev->pdev = pdev;
	mutex_init(&dev->lock);
	err = pcim_enable_device(pdev);
	if (err)
		return err;
	dev->bar = pcim_iomap_region(pdev, 0, "sva_testdev");
	if (IS_ERR(dev->bar))
		return PTR_ERR(dev->bar);
	pci_set_master(pdev);
	pci_set_drvdata(pdev, dev);

	snprintf(dev->name, sizeof(dev->name), "sva%d", atomic_inc_return(&nr));
	dev->misc.minor = MISC_DYNAMIC_MINOR;
	dev->misc.name = dev->name;
	dev->misc.fops = &sva_fops;
	dev->misc.parent = &pdev->dev;
	pci_info(pdev, "%s: ATS %d, PASID %d, PRI %d\n", dev->name,
		 pdev->ats_enabled, pdev->pasid_enabled, pdev->pri_enabled);
	return misc_register(&dev->misc);
}

static void sva_remove(struct pci_dev *pdev)
{
	struct sva_dev *dev = pci_get_drvdata(pdev);

	misc_deregister(&dev->misc);
}

static const struct pci_device_id sva_ids[] = {
	{ PCI_DEVICE(0x1234, 0x11e9) },
	{ }
};
MODULE_DEVICE_TABLE(pci, sva_ids);

static struct pci_driver sva_driver = {
	.name = "sva_testdev",
	.id_table = sva_ids,
	.probe = sva_probe,
	.remove = sva_remove,
};
module_pci_driver(sva_driver);

MODULE_DESCRIPTION("QEMU's device that accesses memory by PASID, to test SVA");
MODULE_LICENSE("GPL");
