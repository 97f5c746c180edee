# SPDX-License-Identifier: GPL-2.0
# The one entry. `make` lists the targets.

.NOTPARALLEL:
.DEFAULT_GOAL := help

# One make at a time works in build/.
LOCKED := scripts/with-lock

.PHONY: help
help: ## this list
	@echo 'Targets:'
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  \1 \2/p' Makefile | \
		while read -r name text; do printf '  %-10s %s\n' "$$name" "$$text"; done
	@echo 'Variables:'
	@echo '  KERNEL=    a kernel archive, or a kernel tree to copy, to be the base'
	@echo '  ARCH=      x86_64 (default), arm64, riscv, s390, powerpc; or all (see docs/workflow.md)'
	@echo '  ACCEL=     QEMU accelerator (default tcg; kvm is never chosen for you)'
	@echo '  VARIANTS=  which rows of configs/variants make test boots (default: all)'
	@echo '  SUITES=    which KUnit suites make test runs (default *mmu*)'
	@echo '  TESTS=     arguments of make selftest (-t munmap)'
	@echo '  CONFIG=    which kernel of configs/debug/kernels make debug boots (default all)'
	@echo '  SECONDS=   how long make stress (default 60), and that of make debug (120), takes'
	@echo '  SEED=      of what these do, and the fuzzer of make selftest'
	@echo '  CPUS=      how many make stress has (default 2)'
	@echo '  PEERS=     which rows of configs/peers make peers runs, by name (default all)'
	@echo '  MUTANTS=   which mutants make mutants tries, by name (default all); of make hardware,'
	@echo '             which then tries nothing else (default none)'
	@echo '  PHASES=    which parts of make bench to measure (default all, which writes results/)'
	@echo '  ROUNDS=    how often make bench asks the wall clock (default 5)'
	@echo '  PART=      a part of make parts, globs, or all, for make part and make post'
	@echo '  SIGN=      who posts, "Name <address>", for make post'
	@echo '  FROM=      the patch that make bisect begins with (default 1)'
	@echo '  QEMU_SOURCE= an archive of QEMU for make qemu, or a folder that has it'
	@echo '  JOBS=      parallel compile jobs (default: number of CPUs)'

.PHONY: run
run: setup ## build the kernel with the series, boot it, show the software device kept coherent
	@$(LOCKED) scripts/run-demo

.PHONY: test
test: setup ## run the KUnit suites under QEMU, in every variant of configs/variants
	@$(LOCKED) scripts/run-tests

.PHONY: selftest
selftest: setup ## boot the series' selftest, with a fuzzer of the device; TESTS= selects, SEED= repeats
	@$(LOCKED) scripts/run-selftests

# bash has a variable of that name, which counts.
unexport SECONDS

.PHONY: debug
debug: setup ## run the KUnit suites and a stress under kernels that complain (KASAN, KCSAN, ...)
	@STRESS_SECONDS=$(SECONDS) $(LOCKED) scripts/run-debug

.PHONY: stress
stress: setup ## do all that can be done to memory at random, under QEMU, for SECONDS=
	@STRESS_SECONDS=$(SECONDS) $(LOCKED) scripts/run-stress

.PHONY: mutants
mutants: setup ## take each delivery out of the series in turn: the suites have to notice
	@$(LOCKED) scripts/run-mutants

.PHONY: check
check: ## checkpatch, sparse, W=1, kernel-doc, Sphinx, spelling, scripts and their tests
	@scripts/install-deps check
	@$(LOCKED) scripts/check-all

.PHONY: builds
builds: ## compile for other architectures and random configurations; BUILDS= says how many, SEED= the first
	@scripts/install-deps builds
	@$(LOCKED) scripts/check-builds

.PHONY: models
models: ## verify the spin models in docs/models, and see their wrong variants refuted
	@scripts/install-deps models
	@$(LOCKED) scripts/check-models

.PHONY: bisect
bisect: setup ## build the touched folders after every patch, boot the suites after the last
	@$(LOCKED) scripts/build-each-patch

.PHONY: fixes
fixes: setup ## show that the fixes fix what they say: on the base fails, with them passes
	@$(LOCKED) scripts/show-fixes

.PHONY: peers
peers: ## run selftests/mm and stress-ng on the base and on the series, and compare
	@scripts/install-deps peers
	@$(LOCKED) scripts/run-peers

.PHONY: bench
bench: ## measure the base and the series side by side, and write results/
	@scripts/install-deps bench
	@$(LOCKED) scripts/run-bench

.PHONY: hardware
hardware: ## boot base and series with VT-d emulated, and devices that use the page tables of processes
	@scripts/install-deps qemu
	@$(LOCKED) scripts/run-hardware

.PHONY: qemu
qemu: ## build the QEMU that has an IOMMU for shared page tables, and a device for it
	@scripts/install-deps qemu
	@$(LOCKED) scripts/build-qemu

.PHONY: setup
setup: ## install what is missing, or say what to install
	@scripts/install-deps build

.PHONY: fetch
fetch: setup ## find the base kernel and import it into build/tree
	@$(LOCKED) scripts/fetch-base

.PHONY: parts
parts: setup ## list the parts: their size, their tree, what they need, and when make part was run
	@$(LOCKED) scripts/list-parts

.PHONY: part
part: ## build and test PART= alone, on the base and what it needs, patch by patch
	@$(LOCKED) scripts/try-part

.PHONY: post
post: ## write the mails of PART= to build/post/, signed off by SIGN="Name <address>"; send nothing
	@$(LOCKED) scripts/write-mails

.PHONY: tree
tree: setup ## make build/tree the base with each patch as a commit
	@$(LOCKED) scripts/make-tree

.PHONY: export
export: ## write the commits of build/tree back to patches/
	@$(LOCKED) scripts/export-series

.PHONY: clean
clean: ## remove everything built; keep the base and build/tree
	@$(LOCKED) scripts/remove-build

.PHONY: distclean
distclean: ## remove build/ altogether (refuses to lose work in build/tree)
	@$(LOCKED) scripts/remove-build all
