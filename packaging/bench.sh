#!/bin/sh
# Measures what polling costs and prints medians [lowest..highest] of RUNS runs:
# the SNMP path alone, a whole node of real processes, and journal and store.
# CPU time is the figure: other work on the machine may add half to it, and to wall time any amount.
#
#   bench.sh [BENCHTIME]    of one run of the SNMP path, default 1s
#
# The environment may name, by absolute paths, a file that keeps the raw results
# in the form of Go benchmarks (BENCH_RAW) and one for a CPU profile of the
# consumer (BENCH_PROFILE), and the devices of the node (BENCH_DEVICES, default 400).
#
# It takes about four minutes, 450 MB below /tmp, and loopback addresses only.
set -eu

BENCHTIME=${1:-1s}
RUNS=5
MARK=2.0  # milliseconds of CPU that the SNMP path of one device may take; above it the exit code is 1

cd "$(dirname "$0")/.."
export CGO_ENABLED=0
BENCH_BINARY=$PWD/bin/pollux
export BENCH_BINARY
[ -x "$BENCH_BINARY" ] || { echo "bench.sh: there is no $BENCH_BINARY; run: make build" >&2; exit 2; }

work=$(mktemp -d)
export TMPDIR="$work"
running=
# shellcheck disable=SC2317 # the trap reaches it
cleanup() {
	code=$?
	trap '' HUP INT TERM
	if [ -n "$running" ]; then
		kill "$running" 2>/dev/null || : # what it started ends with it
		wait "$running" 2>/dev/null || :
	fi
	rm -rf "$work"
	exit "$code"
}
trap cleanup EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM
: >"$work/raw"

# compile PACKAGE: tag and -trimpath are the binary's own, so that little is compiled again.
compile() {
	go test -c -trimpath -tags gosnmp_nodebug -o "$work/test" "./$1"
}

# measure PACKAGE PATTERN BENCHTIME runs what was compiled. It runs in the
# background, so that a signal ends this script at once.
measure() {
	echo "measuring $1: $2" >&2
	(cd "$1" && exec "$work/test" -test.run '^$' -test.bench "$2" -test.benchtime "$3" -test.count "$RUNS" -test.timeout 15m) >"$work/one" 2>&1 &
	running=$!
	if ! wait "$running"; then
		running=
		cat "$work/one" >&2
		echo "bench.sh: $1 failed" >&2
		exit 1
	fi
	running=
	cat "$work/one" >>"$work/raw"
}
compile polluxtest/bench
measure polluxtest/bench '^BenchmarkSNMP$' "$BENCHTIME"
measure polluxtest/bench '^BenchmarkNode$' 1x
compile journal
measure journal '^Benchmark(Append|Record)$' 300ms
compile store
measure store '^Benchmark(SavePoll|PollTarget)$' 200ms
if [ -n "${BENCH_RAW:-}" ]; then cp "$work/raw" "$BENCH_RAW"; fi

awk -v runs="$RUNS" -v mark="$MARK" -v devices="${BENCH_DEVICES:-400}" '
	/^cpu:/ { sub(/^cpu: */, ""); cpu = $0 }
	/^Benchmark/ {
		name = $1
		sub(/^Benchmark/, "", name)
		sub(/-[0-9]+$/, "", name) # GOMAXPROCS
		if (!(name in seen)) { seen[name] = 1; names[++count] = name }
		for (i = 3; i < NF; i += 2) {
			key = name SUBSEP $(i + 1)
			value[key, ++n[key]] = $i + 0
		}
	}

	# sorted puts the values of a key in order.
	function sorted(key,   i, j, x) {
		for (i = 2; i <= n[key]; i++) {
			x = value[key, i]
			for (j = i - 1; j > 0 && value[key, j] > x; j--) value[key, j + 1] = value[key, j]
			value[key, j + 1] = x
		}
	}
	function median(name, unit,   key, half) {
		key = name SUBSEP unit
		if (!n[key]) { print "bench.sh: no figure " unit " of " name | "cat >&2"; broken = 1; return 0 }
		sorted(key)
		half = int((n[key] + 1) / 2)
		return n[key] % 2 ? value[key, half] : (value[key, half] + value[key, half + 1]) / 2
	}
	# figure is a median with its range, of values divided by by.
	function figure(name, unit, by, digits,   key, m, f) {
		m = median(name, unit)
		key = name SUBSEP unit
		f = "%." digits "f"
		return sprintf(f " [" f ".." f "]", m / by, value[key, 1] / by, value[key, n[key]] / by)
	}
	function plain(name, unit, by) { return sprintf("%.0f", median(name, unit) / by) }
	function row(label, text) { printf "  %-34s %s\n", label, text }

	function printSNMP(   i, name, m) {
		print "SNMP path of one device: 48 ports, from the socket to the measurements, 50 at a time for each CPU"
		printf "  %-12s %-22s %-22s %6s %7s %8s %6s\n", "", "CPU ms", "agent CPU ms (apart)", "PDUs", "values", "allocs", "KiB"
		for (i = 1; i <= count; i++) {
			name = names[i]
			if (name !~ /^SNMP\//) continue
			printf "  %-12s %-22s %-22s %6s %7s %8s %6s\n", substr(name, 6), figure(name, "client-ms/op", 1, 2), figure(name, "agent-ms/op", 1, 2),
				plain(name, "pdus/op", 1), plain(name, "values/op", 1), plain(name, "allocs/op", 1), plain(name, "B/op", 1024)
		}
		m = median("SNMP/v2c-usual", "client-ms/op")
		printf "  the mark is %.1f ms for v2c-usual: %s\n\n", mark, m <= mark ? "met" : "NOT met"
		if (m > mark) broken = 1
	}

	function printNode(   w, total, part, parts, k, i) {
		w = "Node/window"
		print "One poll by a whole node: " devices " devices of 48 ports every 10 s, all processes on this machine"
		print "  CPU ms"
		k = split("consumer producer redis db rrdcached", parts, " ")
		for (i = 1; i <= k; i++) {
			row("  " parts[i], figure(w, parts[i] "-ms/poll", 1, 2))
			total += median(w, parts[i] "-ms/poll")
		}
		row("  together", sprintf("%.2f: one core would carry %d devices at an interval of 300 s", total, 300000 / total))
		row("  simulated devices (apart)", figure(w, "simulator-ms/poll", 1, 2))
		row("polls a second", figure(w, "polls/s", 1, 1))
		row("PDUs", figure(w, "pdus/poll", 1, 1))
		row("lines to rrdcached", figure(w, "lines/poll", 1, 1))
		row("KiB allocated (consumer)", figure(w, "B/poll", 1024, 0))
		row("MiB resident (consumer)", figure(w, "consumer-MiB", 1, 0))
		row("lateness ms, median", figure(w, "late-p50-ms", 1, 0))
		row("lateness ms, 99 %", figure(w, "late-p99-ms", 1, 0))
		row("missed slots a window", figure(w, "missed", 1, 0))
		row("polls not up a window", figure(w, "not-up", 1, 0))
		print ""
	}

	function printParts(   i, name) {
		print "Parts, 48 ports a poll"
		row("journal: append", figure("Append", "cpu-us/op", 1000, 3) " ms CPU of the client")
		row("journal: record", figure("Record", "cpu-us/entry", 1000, 3) " ms CPU of the recorder")
		for (i = 1; i <= count; i++) {
			name = names[i]
			if (name !~ /^(SavePoll|PollTarget)\//) continue
			row("store: " name, figure(name, "ns/op", 1000000, 2) " ms wall, " plain(name, "allocs/op", 1) " allocs, " plain(name, "B/op", 1024) " KiB")
		}
	}

	END {
		print "machine: " cpu
		print "medians [lowest..highest] of " runs " runs\n"
		printSNMP()
		printNode()
		printParts()
		exit broken
	}
' "$work/raw"
