# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2034
# What the tests share: a scratch copy of the project, a toy kernel, and checks.

set -euo pipefail
export LC_ALL=C.UTF-8
unset KERNEL BASE ARCH SUITES VARIANTS MUTANTS JUDGE WORK BOOT
unset BUILDS PART PARTIAL SIGN CONFIG VARIANTS_TABLE EACH_KERNEL LIMIT STRESS_SECONDS SEED PHASES ROUNDS
PROJECT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
SCRATCH=$(mktemp -d "${TMPDIR:-/tmp}/mmu-notifier-test.XXXXXX")
trap 'rm -rf "$SCRATCH"' EXIT
trap 'exit 130' INT TERM
P=$SCRATCH/project
mkdir "$P"
cp -r "$PROJECT"/{scripts,bases,configs,Makefile} "$P"
# One part, in which there is nothing yet.
mkdir -p "$P/patches/v7.3/01-first"
printf '%s\n' 'Tree: mm' 'Tests: x86_64/smp' >"$P/patches/v7.3/01-first/part"
: >"$P/patches/v7.3/01-first/series"

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

# toy_parts: a tree on the toy kernel with four parts of a commit each, first to fourth;
# the third needs the first. Their letters are written.
toy_parts() {
	local tree=$P/build/tree base=$P/patches/v7.3 k=0 part
	toy_kernel "$SCRATCH/linux"
	KERNEL=$SCRATCH/linux "$P/scripts/fetch-base"
	rm -r "$base/01-first"
	for part in first second third fourth; do
		k=$((k + 1))
		case $part in
		first) sed -i 's/^10$/ten/' "$tree/mm/a.c" ;;
		third) sed -i 's/^11$/eleven/' "$tree/mm/a.c" ;;
		esac
		[[ $part == first ]] || echo "$part" >"$tree/mm/$part.c"
		git -C "$tree" add mm
		git -C "$tree" commit -qm "mm: $part"$'\n\nBody.'
		mkdir "$base/0$k-$part"
		printf '%s\n' 'Tree: mm' 'Tests: x86_64/smp' >"$base/0$k-$part/part"
		echo "0001-mm-$part.patch" >"$base/0$k-$part/series"
	done
	echo 'Needs: first' >>"$base/03-third/part"
	"$P/scripts/export-series"
	sed -i -e 's/\*\*\* SUBJECT HERE \*\*\*/mm: a part/' -e 's/\*\*\* BLURB HERE \*\*\*/The letter./' "$base"/*/0000-*
}
