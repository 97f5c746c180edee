// SPDX-License-Identifier: GPL-2.0
/* The sizes of structures, as those of symbols, for make bench. Never linked. */
#include <linux/mm_types.h>
#include <linux/mmu_notifier.h>
#include <linux/sched.h>
#include <asm/tlb.h>

#define SIZE_OF(name)	char size_of_##name[sizeof(struct name)]

SIZE_OF(mm_struct);
SIZE_OF(mmu_gather);
SIZE_OF(mmu_notifier_range);
SIZE_OF(task_struct);
#ifdef CONFIG_MMU_NOTIFIER
SIZE_OF(mmu_notifier_ops);
SIZE_OF(mmu_notifier);
SIZE_OF(mmu_interval_notifier);
#endif
