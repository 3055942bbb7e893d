#!/bin/sh
# Breaks one rule of the journal at a time, in a worktree of the last commit, and runs the
# test that holds the rule: it must pass before and fail then. Prints a table. The exit
# code is 0 only if each test noticed; a line that a change of the code made useless says so.
#
#   mutate.sh [PART]    only the mutations whose names hold PART
set -eu
cd "$(dirname "$0")/.."
only=${1:-}
dir=$(mktemp -d)
tree=$dir/tree
trap 'git worktree remove --force "$tree" 2>/dev/null || :; rm -rf "$dir"; git worktree prune' EXIT
trap 'exit 130' HUP INT TERM
git worktree add --quiet --detach "$tree" HEAD
bad=0

# tested PATTERN PACKAGE runs tests, and says passed, failed, or what else happened.
tested() {
	if ! (cd "$tree" && go test -count=1 -run '^$' "./$2") >"$dir/log" 2>&1; then
		echo "it does not compile"
	elif (cd "$tree" && go test -count=1 -timeout 5m -v -run "^$1\$" "./$2") >"$dir/log" 2>&1; then
		if grep -q "^--- PASS: $1 " "$dir/log"; then echo passed; else echo "there is no such test"; fi
	elif grep -q "^--- FAIL: $1 " "$dir/log"; then
		echo failed
	else
		echo "it ended otherwise"
	fi
}

# mutate NAME PACKAGE SED TEST changes one line in one file of a package.
mutate() {
	case $1 in *"$only"*) ;; *) return 0 ;; esac
	result=$(tested "$4" "$2")
	if [ "$result" = passed ]; then
		for file in "$tree/$2"/*.go; do
			case $file in *_test.go) ;; *) sed -i "$3" "$file" ;; esac
		done
		changed=$(git -C "$tree" diff --numstat | awk '{ printf "%s+%s-", $1, $2 }')
		case $changed in
		1+1-) result=$(tested "$4" "$2") ;;
		*) result="it changes ${changed:-nothing}: mend it in packaging/mutate.sh" ;;
		esac
		git -C "$tree" checkout --quiet -- .
		if [ "$result" = passed ]; then result="NOT NOTICED: the test proves nothing"; fi
	elif [ "$result" = failed ]; then
		result="the test fails without it"
	fi
	if [ "$result" = failed ]; then result=noticed; else bad=1; fi
	printf '%-30s %-9s %-46s %s\n' "$1" "$2" "$4" "$result"
}

printf '%-30s %-9s %-46s %s\n' MUTATION PACKAGE TEST RESULT
mutate 'no question at first touch' journal 's/if t\.faults\.noProbe {/if true {/' TestNothingIsLostWhenRRDCachedIsKilled
mutate 'marks by the time of entries' journal \
	's/t\.marks\.add(now, t\.state\.acked,/t.marks.add(time.UnixMilli(int64(t.state.acked.ms)), t.state.acked,/' TestAKillAfterABacklog
mutate 'durable while files wait' journal '/t\.marks\.add(/{n;s/stats\.QueueLength == 0/stats.QueueLength >= 0/;}' TestNothingIsDurableWhileFilesWaitToBeWritten
mutate 'the count of updates not stored' journal 's/known := t\.state\.updates/known := t.seen/' TestARestartThatNobodySaw
mutate 'nothing stated again' journal 's/if again == 0 || t\.faults\.noRestate {/if again >= 0 {/' TestAFileThatIsTornByAKillIsMended
mutate 'no tombstones' journal 's/if removed\[n\] {/if removed[n] \&\& false {/' TestATombstoneLeavesNoGhost
mutate 'nothing appended again' consumer 's/range c\.recent\.all() {/range c.recent.all()[:0] {/' TestLostEntriesAreAppendedAgain
mutate 'no hold while a device moves' journal "s/tonumber(held) > now then return 4 end/tonumber(held) > now then held = nil end/" TestADeviceMovesToAnotherShard
exit $bad
