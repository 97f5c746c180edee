# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2034
# What the tests share: a scratch copy of the project, a toy kernel, and checks.

set -euo pipefail
export LC_ALL=C.UTF-8
unset KERNEL BASE ARCH SUITES VARIANTS MUTANTS JUDGE WORK BOOT
unset CONFIG VARIANTS_TABLE EACH_KERNEL LIMIT STRESS_SECONDS SEED PHASES ROUNDS
PROJECT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
SCRATCH=$(mktemp -d "${TMPDIR:-/tmp}/mmu-notifier-test.XXXXXX")
trap 'rm -rf "$SCRATCH"' EXIT
trap 'exit 130' INT TERM
P=$SCRATCH/project
mkdir "$P"
cp -r "$PROJECT"/{scripts,bases,configs,Makefile} "$P"
mkdir -p "$P/patches/v7.3"

fail() {
	echo "FAILED (line ${BASH_LINENO[-2]}): $*"
	exit 1
}

# succeeds COMMAND... / fails_with PATTERN COMMAND...: with the output in $OUT.
succeeds() {
	OUT=$("$@" 2>&1) || fail "$* did not succeed: $OUT"
}

fails_with() {
	local pattern=$1
	shift
	! OUT=$("$@" 2>&1) || fail "$* succeeded: $OUT"
	grep -qE -- "$pattern" <<<"$OUT" || fail "$* did not say '$pattern' but: $OUT"
}

says() {
	grep -qE -- "$1" <<<"$OUT" || fail "no '$1' in: $OUT"
}

# toy_kernel DIR [EXTRAVERSION]: just enough to be taken for a kernel tree.
toy_kernel() {
	mkdir -p "$1/mm"
	printf '%s\n' "# SPDX" "VERSION = 7" "PATCHLEVEL = 3" "SUBLEVEL = 0" \
		"EXTRAVERSION = ${2--rc7}" >"$1/Makefile"
	echo 'obj-y := a.o' >"$1/mm/Makefile"
	seq 1 40 >"$1/mm/a.c"
	printf '%s\n' '*.o' '' '#' '# Debian packaging: ignore everything at the top level' '#' '/*' '!/debian/' >"$1/.gitignore"
}

# toy_series: a tree on the toy kernel with two commits, exported.
toy_series() {
	toy_kernel "$SCRATCH/linux"
	(
		export KERNEL=$SCRATCH/linux
		"$P/scripts/fetch-base"
	)
	local g=(git -C "$P/build/tree")
	sed -i 's/^10$/ten/' "$P/build/tree/mm/a.c"
	"${g[@]}" commit -qam $'mm: ten is a word, and the subject of this goes on and on: \u00fcber\n\nBody.\n\nNumbers (1):\n  not a shortlog'
	echo 'new file' >"$P/build/tree/mm/new.c"
	"${g[@]}" add mm/new.c
	"${g[@]}" commit -qm $'mm: add a file\n\nBody \u2014 two.'
	"$P/scripts/export-series"
}
