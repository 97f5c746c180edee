# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2153
# What the scripts know of the parts of the series, beside lib.sh, which comes first.
# A part is the folder NN-NAME, NAME for short. Its file `part` has a line "KEY: VALUE"
# each: Needs, the parts it stands on; Tree, the tree it goes through; Tests, the
# ARCH/VARIANT to boot after its last patch, where VARIANT `evidence` is that of
# evidence/; Cc, an address that get_maintainer.pl does not know of; Until, a version
# and the patch that is not for it, nor for later ones.

# part_values PART KEY: what the lines of that key say.
part_values() {
	sed -n "s/^$2: *//p" "$SERIES/$1/part"
}

# selected_parts: those that PART selects: names, globs, or all.
selected_parts() {
	local part found=
	PART=${PART:-}
	[[ -n $PART ]] || die "PART= names no part: a name of make parts, or all"
	[[ $PART != all ]] || PART='*'
	for part in $(series_parts); do
		if matches "$part" "$PART" || matches "${part#*-}" "$PART"; then
			echo "$part"
			found=yes
		fi
	done
	[[ -n $found ]] || die "no part is PART=$PART (there are: $(series_parts | sed 's/^[^-]*-//' | paste -sd' '))"
}

# fix_parts: those that have only fixes, which their name says.
fix_parts() {
	series_parts | grep -e '-fixes$' || die "no part of patches/$BASE has a name that ends in -fixes"
}

# with_needs PART...: these parts and what they stand on, in order.
with_needs() {
	local part wanted=" "
	for part in "$@"; do
		wanted+="${part#*-} "
	done
	for part in $(series_parts | tac); do
		[[ $wanted != *" ${part#*-} "* ]] || wanted+="$(part_values "$part" Needs) "
	done
	for part in $(series_parts); do
		[[ $wanted != *" ${part#*-} "* ]] || echo "$part"
	done
}

# What was picked before: commit, onto, result.
PICKED=$TREE/.git/picked

# pick COMMIT ONTO: what git cherry-pick makes of it, without a work tree: a merge of
# ONTO whose base is the parent of COMMIT. If that fails, the files where they meet.
pick() {
	local ours tree found
	ours=$(tree_git commit-tree -p "$1^" -m ours "$2^{tree}")
	tree=$(tree_git -c merge.renames=false merge-tree --write-tree --name-only "$ours" "$1") || {
		sed -n '2,/^$/p' <<<"$tree" | sed '/^$/d'
		return 1
	}
	found=$(tree_git cat-file commit "$1" |
		sed -e "1,/^$/{s/^tree .*/tree $tree/;s/^parent .*/parent $2/}" |
		tree_git hash-object -t commit -w --stdin)
	echo "$1 $2 $found" >>"$PICKED"
	echo "$found"
}

# stack PART...: the commit that is the base with these parts alone, and build/tree's
# own where nothing is left out. They need no more than each other if it can be had.
stack() {
	local head before next commit onto picked file
	local -A known=()
	while read -r commit onto picked; do
		known[$commit / $onto]=$picked
	done < <(cat "$PICKED" 2>/dev/null)
	head=$(tree_git rev-parse base) next=$head
	while read -r _ commit file; do
		before=$next next=$commit
		matches "${file%/*}" "$*" || continue
		if [[ $head == "$before" ]]; then
			head=$commit
			continue
		fi
		picked=${known[$commit / $head]:-}
		[[ -n $picked ]] || picked=$(pick "$commit" "$head") ||
			die "$file does not apply without the parts that ${file%%/*} does not name as Needs: $(paste -sd' ' <<<"$picked")"
		head=$picked
	done <"$TREE/.git/applied-patches"
	echo "$head"
}

# part_start PART END: the commit before the part's first, of those that end with END.
part_start() {
	tree_git rev-parse "$2~$(part_patches "$1" | wc -l)"
}

# format_part DIR START END LETTER OPTION...: the mails of START..END in DIR, with
# subject, letter and prefix of the cover letter LETTER.
format_part() {
	local dir=$1 start=$2 end=$3 prefix text
	prefix=$("$TOP/scripts/read-cover" "$4" prefix)
	text=$("$TOP/scripts/read-cover" "$4" text)
	shift 4
	# Only of a branch does git take a letter.
	tree_git branch -q -f mails "$end"
	tree_git -c "branch.mails.description=$text" format-patch -q -o "$dir" --cover-letter \
		--cover-from-description=subject --subject-prefix="$prefix" --numbered \
		--no-signature --abbrev=12 -M --diff-algorithm=myers "$@" "$start..mails"
	tree_git branch -q -D mails
	# The letter's own date would be that of today.
	sed -i "0,/^Date: .*/s//Date: $(tree_git log -1 --format=%aD "$end")/" "$dir/0000-cover-letter.patch"
}

# part_result PART END: what make part said of END, the part's last commit alone, and
# when; or that it did not.
part_result() {
	local date tree result
	[[ -f $SERIES/$1/tested ]] || {
		echo never
		return
	}
	read -r date tree result <"$SERIES/$1/tested"
	[[ $tree == "$(tree_git rev-parse "$2^{tree}")" ]] || result="stale, $result"
	echo "$date: $result"
}
