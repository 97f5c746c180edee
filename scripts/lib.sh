# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2034
# What the scripts share. Source it first:
#	. "$(dirname "$0")/lib.sh"

set -euo pipefail
export LC_ALL=C.UTF-8
# The tools that install-deps installs are the ones used.
PATH=/usr/bin:/bin:$PATH
# What a surrounding make or git hook exports must not reach the kernel's make
# or the git of build/tree.
unset MAKEFLAGS MFLAGS MAKELEVEL MAKEOVERRIDES GNUMAKEFLAGS
unset KBUILD_OUTPUT KCONFIG_CONFIG CROSS_COMPILE LLVM O V C W
unset GIT_DIR GIT_WORK_TREE GIT_INDEX_FILE

# Interrupted: no further step, no other message; what EXIT traps undo is undone.
trap 'exit 130' INT
trap 'exit 143' TERM HUP

TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
BUILD=$TOP/build
LOGS=$BUILD/logs
CACHE=$BUILD/cache
TREE=$BUILD/tree
# Another tree, with kernels of its own: as both are found the same way from one
# another as in build/, ccache takes what was compiled there.
SECOND=$BUILD/second
SECOND_TREE=$SECOND/tree
# Where build-kernel and boot-kernel find tree/ and kernels/.
WORK=${WORK:-$BUILD}
BASE=${BASE:-v7.3}
SERIES=$TOP/patches/$BASE
ARCH=${ARCH:-x86_64}
ACCEL=${ACCEL:-tcg}
JOBS=${JOBS:-$(nproc)}
VARIANTS=${VARIANTS:-*}
VARIANTS_TABLE=${VARIANTS_TABLE:-$TOP/configs/variants}

say() {
	printf '%s\n' "$*" >&2
}

die() {
	say "error: $*"
	exit 1
}

# A path as a person in the project's folder would write it.
short() {
	printf '%s' "${1#"$TOP"/}"
}

# make_tmp: a folder in TMP that is gone when the script ends, however it ends.
# What must not be seen half-made is made there and renamed.
make_tmp() {
	mkdir -p "$BUILD"
	TMP=$(mktemp -d "$BUILD/tmp.XXXXXX")
	trap 'rm -rf "$TMP"' EXIT
}

# need_space GIGABYTES WHAT_FOR
need_space() {
	local free
	mkdir -p "$BUILD"
	free=$(df --output=avail -k "$BUILD" | tail -n 1)
	((free >= $1 * 1024 * 1024)) ||
		die "$(short "$BUILD") has $((free / 1024)) MB free, $2 needs $1 GB: free some space (make clean) and run make again"
}

# show_count WHAT [EXPECTED]: counts the lines of stdin on stderr, as they come.
show_count() {
	local what=$1 expected=${2:-0} of n=0 last=$SECONDS every=20 end='\n'
	if [[ -t 2 ]]; then
		every=1 end='\r'
	fi
	while IFS= read -r _; do
		n=$((n + 1))
		if ((SECONDS - last >= every)); then
			last=$SECONDS of=
			((n > expected)) || of=/$expected
			# shellcheck disable=SC2059
			printf "  %s %s%s$end" "$what" "$n" "$of" >&2
		fi
	done
	say "  $what $n, done"
}

load_base() {
	[[ -f $TOP/bases/$BASE ]] ||
		die "bases/$BASE does not exist: BASE= must name a file there ($(ls "$TOP/bases"))"
	# shellcheck source=../bases/v7.3
	. "$TOP/bases/$BASE"
}

# all_archs: the names in configs/architectures, in one line.
all_archs() {
	sed '/^#/d;s/ .*//' "$TOP/configs/architectures" | paste -sd' '
}

# selected_archs: what ARCH stands for, in one line.
selected_archs() {
	if [[ $ARCH == all ]]; then
		all_archs
	else
		load_arch
		echo "$ARCH"
	fi
}

# matches NAME GLOBS: whether NAME matches one of GLOBS, which blanks separate.
matches() {
	local globs glob
	read -ra globs <<<"$2"
	for glob in "${globs[@]}"; do
		# shellcheck disable=SC2053
		[[ $1 != $glob ]] || return 0
	done
	return 1
}

# own_apt FOLDER "TYPE SUITE"...: have apt work with a state of its own, in
# build/FOLDER: the mirror and the keyring are the machine's, the suites are ours.
# Needs no root and changes nothing outside of build/. APT_MISSING says why not.
own_apt() {
	local apt=$BUILD/$1 release mirror line
	local keyring=/usr/share/keyrings/debian-archive-keyring.gpg
	shift
	APT_MISSING="this machine has no apt"
	command -v apt-get >/dev/null || return 1
	# The mirror that serves the installed release, as the machine's sources name it.
	release=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
	# shellcheck disable=SC2016 # these are apt's variables
	mirror=$(apt-get indextargets --format '$(RELEASE) $(REPO_URI)' 'Created-By: Packages' 2>/dev/null |
		awk -v r="$release" '$1 == r { print $2; exit }')
	APT_MISSING="apt's sources name no mirror for ${release:-this release}"
	[[ -n $mirror ]] || return 1
	APT_MISSING="$keyring is missing (package debian-archive-keyring)"
	[[ -f $keyring ]] || return 1
	mkdir -p "$apt/state/lists/partial" "$apt/cache/archives/partial" "$apt/none"
	for line in "$@"; do
		echo "${line% *} [signed-by=$keyring] $mirror ${line#* } main"
	done >"$apt/sources.list"
	cat >"$apt/apt.conf" <<-CONF
		Dir::State "$apt/state";
		Dir::State::status "/dev/null";
		Dir::Cache "$apt/cache";
		Dir::Etc::SourceList "$apt/sources.list";
		Dir::Etc::SourceParts "$apt/none";
		Dir::Etc::Preferences "/dev/null";
		Dir::Etc::PreferencesParts "$apt/none";
		Acquire::Languages "none";
		Acquire::Retries "2";
		Acquire::http::Timeout "60";
		APT::Sandbox::User "";
		APT::Update::Error-Mode "any";
	CONF
	export APT_CONFIG=$apt/apt.conf
}

# load_arch: the row of configs/architectures for ARCH, in ARCH_*.
load_arch() {
	local name rest
	[[ $ARCH != all ]] || die "ARCH=all is not for this: name one architecture ($(all_archs))"
	while read -r name rest; do
		if [[ $name == "$ARCH" ]]; then
			read -r ARCH_KERNEL ARCH_CROSS ARCH_QEMU ARCH_IMAGE ARCH_CONSOLE \
				ARCH_REPORT ARCH_PACKAGES ARCH_MACHINE <<<"$rest"
			ARCH_CROSS=${ARCH_CROSS#native}
			return
		fi
	done < <(grep -v '^#' "$TOP/configs/architectures")
	die "ARCH=$ARCH is not in configs/architectures (there are: $(all_archs))"
}

# selected_variants: the rows of VARIANTS_TABLE that ARCH and VARIANTS select, as
# ARCH|NAME|KERNEL|CPUS|FRAGMENTS|MINIMUM|QEMU|APPEND|PROOF without blanks around
# the bars; what is - in the file is empty.
selected_variants() {
	local arch name cpus fragments rest key n=0
	local -A kernels=()
	selected_archs >/dev/null
	while IFS='|' read -r arch name cpus fragments rest; do
		key="$arch $fragments"
		: "${kernels[$key]:=$name}"
		[[ $ARCH == all || $ARCH == "$arch" ]] || continue
		matches "$name" "$VARIANTS" || matches "$arch/$name" "$VARIANTS" || continue
		n=$((n + 1))
		echo "$arch|$name|${kernels[$key]}|$cpus|$fragments|${rest%|*}"
	done < <(sed -E -e '/^(#|$)/d' -e 's/ *\| */|/g' -e ':a;s/\|-\|/||/;ta' "$VARIANTS_TABLE")
	((n)) || die "no row of $(short "$VARIANTS_TABLE") is for ARCH=$ARCH VARIANTS=$VARIANTS"
}

# tree_git ARGS: git in build/tree, whatever the user's own configuration says.
tree_git() {
	GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_NOSYSTEM=1 git -C "$TREE" "$@"
}

# What stands between build/tree and patches/, in words; nothing if nothing.
unexported_work() {
	local n
	if [[ -d $TREE/.git/rebase-merge || -d $TREE/.git/rebase-apply ]]; then
		echo "an unfinished rebase or am"
	elif [[ -n $(tree_git status --porcelain | head -n 1) ]]; then
		echo "uncommitted changes"
	elif ! tree_git rev-parse -q --verify refs/tags/exported >/dev/null; then
		return
	elif [[ $(tree_git rev-parse HEAD) != "$(tree_git rev-parse refs/tags/exported)" ]]; then
		n=$(tree_git rev-list --count refs/tags/exported..HEAD)
		echo "commits that are not in patches/$BASE ($n new since the last export)"
	fi
}

# require_exported ACTION: dies if ACTION would lose work in build/tree.
require_exported() {
	local work
	[[ -d $TREE/.git ]] || return 0
	work=$(unexported_work)
	[[ -z $work ]] ||
		die "build/tree holds $work, $1: commit and run make export, or throw it away with git -C build/tree reset --hard exported"
}

# series_parts: the parts of the series, the folders of patches/BASE, in order.
series_parts() {
	local part
	for part in "$SERIES"/*/series; do
		[[ -f $part ]] || die "patches/$BASE has no part: a folder NN-NAME with a file series"
		part=${part%/series}
		echo "${part##*/}"
	done
}

# part_patches PART: its patches, in order, each as PART/FILE.
part_patches() {
	sed -e 's/#.*//' -e 's/[[:space:]]*$//' -e '/^$/d' -e "s,^,$1/," "$SERIES/$1/series"
}

# series_patches: those of all parts.
series_patches() {
	local part
	for part in $(series_parts); do
		part_patches "$part"
	done
}

# base_has: the patches that are not for the base of build/tree, which has what they do
# in a way of its own. The file `part` names them: Until: VERSION PATCH, without a number.
base_has() {
	local base until patch file
	base=$(tree_git log -1 --format=%s refs/tags/base)
	while IFS=: read -r file _ until; do
		read -r until patch <<<"$until"
		[[ $(printf '%s\n' "$until" "${base#Linux v}" | sort -V | head -n 1) != "$until" ]] ||
			part_patches "$(basename "${file%/part}")" | grep -E "/[0-9]+-$patch\$" ||
			die "$(short "$file") names $patch, which is not in its series"
	done < <(grep -sH '^Until: ' "$SERIES"/*/part)
}

# tree_now: build/tree as it is, uncommitted changes too, as a commit.
tree_now() {
	local rev
	# Where files were only touched, stash would fail.
	tree_git update-index -q --refresh || true
	rev=$(tree_git stash create)
	echo "${rev:-HEAD}"
}

# second_tree REV: build/second/tree, a work tree of build/tree, at REV.
second_tree() {
	local rev
	# In the work tree, HEAD is another.
	rev=$(tree_git rev-parse "$1")
	if [[ -d $SECOND_TREE ]] && git -C "$SECOND_TREE" checkout -q -f --detach "$rev" 2>/dev/null; then
		git -C "$SECOND_TREE" clean -qfd
		return
	fi
	rm -rf "$SECOND_TREE"
	tree_git worktree prune
	tree_git worktree add -q --detach "$SECOND_TREE" "$rev"
}

# touched GLOB...: the files of the series that match, without what was deleted.
touched() {
	tree_git diff --name-only --diff-filter=d base exported -- "$@"
}

# touched_sources: the touched .c files that a kernel for ARCH can be built from.
touched_sources() {
	touched '*.c' | grep -vE '^(tools|Documentation|samples|scripts)/' |
		grep -E "^(arch/$ARCH_KERNEL/|[^a]|a[^r])" || true
}

# print_errors LOG: the part of a failed build's log that a person wants.
print_errors() {
	grep -E -A 3 '(error|undefined reference|No rule to make target)' "$1" | head -n 30 >&2 ||
		tail -n 20 "$1" >&2
}

# kernel_make TREE BUILD_DIR ARGS: the kernel's make for ARCH, out of tree.
# The same input gives the same output on every machine. The headers of an object are
# known from its .d, without the preprocessor: a fifth less to do where nothing is cached.
kernel_make() {
	local tree=$1 dir=$2 cc="${ARCH_CROSS}gcc" hostcc=gcc
	shift 2
	if command -v ccache >/dev/null; then
		cc="ccache $cc" hostcc="ccache gcc"
	fi
	CCACHE_BASEDIR=${dir%/kernels/*} CCACHE_DEPEND=1 KBUILD_BUILD_USER=series KBUILD_BUILD_HOST=series \
		KBUILD_BUILD_TIMESTAMP='2026-01-01 00:00:00' \
		make --no-print-directory -C "$tree" O="$dir" ARCH="$ARCH_KERNEL" \
		CROSS_COMPILE="$ARCH_CROSS" CC="$cc" HOSTCC="$hostcc" -j"$JOBS" "$@" </dev/null
}

# built_sources TREE BUILD_DIR FOLDER/...: the .c files of the folders that a kernel
# which is configured and prepared there is made of.
built_sources() {
	kernel_make "$1" "$2" -n "${@:3}" 2>/dev/null |
		grep -oE ' -c -o [^ ]+\.o ' | sed 's/.* -o //;s/\.o .*/.c/' | sort -u
}
