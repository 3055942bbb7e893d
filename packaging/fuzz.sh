#!/bin/sh
# Runs every fuzz test of the repository, one after the other.
# usage: packaging/fuzz.sh TIME WORKERS
# An input that breaks one is kept by go test in the package's testdata/fuzz.
set -eu
cd "$(dirname "$0")/.."
time=$1
workers=$2
targets=$(git ls-files --cached --others --exclude-standard '*_test.go' |
	xargs grep -Ho '^func Fuzz[A-Za-z0-9_]*' | sed 's,/[^/]*:func , ,' | sort)
[ -n "$targets" ] || { echo "no fuzz tests found" >&2; exit 1; }
broken=
echo "$targets" | {
	while read -r package target; do
		echo "== $package $target"
		go test -run '^$' -fuzz "^$target\$" -fuzztime "$time" -parallel "$workers" "./$package" </dev/null ||
			broken="$broken $package:$target"
	done
	[ -z "$broken" ] || { echo "broken:$broken; their inputs are in testdata/fuzz" >&2; exit 1; }
}
