#!/bin/sh
# Compares what "pollux inspect" finds on recorded devices (OS, ports, processors,
# memory, storage, sensors) with what is expected of them. The recordings are data of others, and not part of this project.
#
#   corpus.sh DIR
#
# Then it measures what polling costs a device that was discovered ("pollux inspect --cost").
#
# DIR (or DIR/dev) holds
#   snmprec/NAME.snmprec   the recordings: the simulator plays each to the community NAME
#   expected/NAME.json     what is expected of each
#   list.txt               the names
#   odd.txt                those that are malformed somewhere: they must be read without an error all the same
# and DIR holds score.py OURS EXPECTED --modules --only --worst --json, which compares.
#
# Exit code 0: recall and precision of every module are at least what FLOORS
# says, every odd recording was read without an error, every module of every OS of
# NAMED that is judged has a recall of OS_FLOOR percent, and polling the average
# device asks for at most MOST_ASKED percent of the objects that its discovery
# asked for, and takes at most MOST_REPLIES times the fewest replies of one Ethernet
# frame that could hold what it asks for. No poll finds less than one that reads everything.
set -eu

BINARY=${BINARY:-./bin/pollux}
# Percent of the expected rows that must be found and right, by module. At
# least 97 percent of the rows that are found must be right.
FLOORS="os 95 ports 99 processors 92 mempools 92 storage 97 sensors 60"
OS_FLOOR=80
# What people run, by LibreNMS's names. Those without a recording here have one in poller/testdata/recordings.
NAMED="ios iosxe iosxr nxos asa ftd ciscosb junos arista_eos routeros fortigate fortiswitch panos vrp procurve arubaos-cx arubaos comware hpe-ilo
drac powerconnect dnos dell-os10 xos voss boss enterasys airos airos-af unifi edgeos edgeswitch timos ciena-saos f5 acos gaia linux freebsd windows
vmware-esxi vmware-vcsa dsm qnap truenas netapp apc eatonups eatonpdu eaton-mgeups raritan-pdu liebert generex-ups poweralert zynos dlink jetstream
awplus fabos ruckuswireless ricoh brother konica xerox jetdirect"
# Modules of an OS that may be below OS_FLOOR, a line each, and why.
EXCEPTED="hpe-ilo:mempools one of four pools has a negative size, which is refused and counted"
MOST_ASKED=60
MOST_REPLIES=1.3
AT_ONCE=4  # devices asked at the same time

if [ $# -ne 1 ] || ! [ -d "$1" ]; then
	echo "usage: corpus.sh DIR" >&2
	exit 2
fi
corpus=$1
data=$corpus
if [ -d "$corpus/dev" ]; then data=$corpus/dev; fi
for needed in "$data/snmprec" "$data/expected" "$data/list.txt" "$data/odd.txt" "$corpus/score.py" "$BINARY"; do
	[ -e "$needed" ] || { echo "corpus.sh: there is no $needed" >&2; exit 2; }
done

work=$(mktemp -d)
simulator=
asking=
# shellcheck disable=SC2317 # the trap reaches it
cleanup() {
	code=$?
	trap '' HUP INT TERM
	for process in $asking $(cat "$work"/*.pid 2>/dev/null) $simulator; do
		kill "$process" 2>/dev/null || :
		wait "$process" 2>/dev/null || :
	done
	rm -rf "$work"
	exit "$code"
}
trap cleanup EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM
mkdir "$work/ours" "$work/costs"

"$BINARY" simulate --listen 127.0.0.1:0 --recordings "$data/snmprec" >"$work/simulator.out" 2>"$work/simulator.err" &
simulator=$!
address=
tries=0
while [ -z "$address" ]; do
	tries=$((tries + 1))
	if [ "$tries" -gt 600 ] || ! kill -0 "$simulator" 2>/dev/null; then
		echo "corpus.sh: the simulator does not answer:" >&2
		cat "$work/simulator.err" >&2
		exit 1
	fi
	sleep 0.1
	address=$(sed -n 's/^answering SNMP from \([0-9.:]*\) on.*/\1/p' "$work/simulator.out")
done

# It asks in the background, so that a signal ends this script at once.
# Each name becomes NAME.json and a line "NAME CODE" of what inspect said with its exit code.
grep -v -e '^#' -e '^[[:space:]]*$' "$data/list.txt" >"$work/names"
# shellcheck disable=SC2016 # the inner shell expands
xargs -n 1 -P "$AT_ONCE" sh -c '
	code=0
	"$1" inspect "$2" -2 -c "$4" --json >"$3/ours/$4.json" 2>"$3/$4.err" &
	echo $! >"$3/$4.pid"
	wait $! || code=$?
	"$1" inspect "$2" -2 -c "$4" --cost --json >"$3/costs/$4.json" 2>"$3/$4.cost.err" &
	echo $! >"$3/$4.pid"
	wait $! || [ -s "$3/$4.err" ] || cp "$3/$4.cost.err" "$3/$4.err"
	rm "$3/$4.pid"
	[ -s "$3/ours/$4.json" ] || rm -f "$3/ours/$4.json"
	echo "$4 $code" >"$3/$4.code"
' inspect "$BINARY" "$address" "$work" <"$work/names" &
asking=$!
wait "$asking"
asking=

python3 "$corpus/score.py" "$work/ours" "$data/expected" --modules os,ports,processors,mempools,storage,sensors --only "$data/list.txt" --worst 100000 --json "$work/score.json" >"$work/score.txt"
awk '/^worst /{worst=1; print "worst 10 devices (F1, correct/expected, extra, then per module)"; next} worst && /^  /{if (++n <= 10) print; next} {print}' "$work/score.txt"

failed=0
echo
echo "exit codes of inspect other than 0:"
cat "$work"/*.code | grep -v ' 0$' >"$work/codes" || :
while read -r name code; do
	echo "  $name: $code, $(head -n 1 "$work/$name.err" | cut -c 1-200)"
done <"$work/codes"
if ! [ -s "$work/codes" ]; then echo "  none"; fi

echo "odd recordings:"
while read -r name; do
	code=$(cut -d ' ' -f 2 "$work/$name.code" 2>/dev/null || echo missing)
	echo "  $name: exit code $code"
	[ "$code" = 0 ] || failed=1
done <"$data/odd.txt"
[ "$failed" = 0 ] || echo "corpus.sh: an odd recording is not read without an error" >&2

# shellcheck disable=SC2086 # module and floor are words
python3 - "$work/score.json" $FLOORS <<'END' || failed=1
import json, sys
modules = json.load(open(sys.argv[1]))["modules"]
floors = dict(zip(sys.argv[2::2], map(float, sys.argv[3::2])))
failed = False
print("%-11s %8s %10s %8s" % ("module", "recall", "precision", "wanted"))
for name, floor in floors.items():
    recall, precision = 100 * modules[name]["recall"], 100 * modules[name]["precision"]
    good = recall >= floor and precision >= 97
    failed = failed or not good
    print("%-11s %7.2f%% %9.2f%% %7g%%  %s" % (name, recall, precision, floor, "yes" if good else "NO"))
sys.exit(failed)
END

echo
# shellcheck disable=SC2086 # OS names are words
python3 - "$work/score.txt" "$data/expected" "$OS_FLOOR" "$EXCEPTED" $NAMED <<'END' || failed=1
import collections, json, re, sys
text, expected, floor, excepted, named = sys.argv[1], sys.argv[2], float(sys.argv[3]), dict(line.split(" ", 1) for line in sys.argv[4].splitlines()), sys.argv[5:]
sums = collections.defaultdict(lambda: collections.defaultdict(lambda: [0, 0]))
for line in open(text):
    m = re.match(r"  (\S+) +[\d.]+% +\d+/\d+ +\+\d+ +(.*)", line)
    if not m:
        continue
    rows = json.load(open("%s/%s.json" % (expected, m[1]))).get("os")
    name = m[1].split("_")[0]
    if rows:
        name = (rows["poller"] if isinstance(rows.get("poller"), dict) else rows["discovery"])["devices"][0]["os"]
    for module, right, all in re.findall(r"(\w[\w-]*)=(\d+)/(\d+)", m[2]):
        sums[name][module][0] += int(right)
        sums[name][module][1] += int(all)
modules = ["os", "ports", "processors", "mempools", "storage", "sensors"]
print("recall by OS (correct/expected; of what people run)")
print("%-16s" % "OS" + "".join("%12s" % m for m in modules))
failed = False
for name in sorted(n for n in sums if n in named):
    cells, bad = "", []
    for module in modules:
        right, all = sums[name].get(module, [0, 0])
        cells += "%12s" % ("%d/%d" % (right, all) if all else "-")
        if all and 100 * right < floor * all:
            why = excepted.get(name + ":" + module)
            bad.append(module + (" (allowed: " + why + ")" if why else ""))
            failed = failed or not why
    print("%-16s%s%s" % (name, cells, "  below %g %%: %s" % (floor, ", ".join(bad)) if bad else ""))
others = sorted("%s:%s" % (n, m) for n in sums if n not in named for m, (right, all) in sums[n].items() if all and 100 * right < floor * all)
print("below %g %% of the other %d OS: %s" % (floor, sum(n not in named for n in sums), ", ".join(others) or "none"))
sys.exit(failed)
END

echo
python3 - "$work/costs" "$MOST_ASKED" "$MOST_REPLIES" <<'END' || failed=1
import glob, json, os, sys
most_asked, most_replies = float(sys.argv[2]), float(sys.argv[3])
costs, failed = {}, False
for file in sorted(glob.glob(sys.argv[1] + "/*.json")):
    name = os.path.basename(file)[:-5]
    try:
        costs[name] = json.load(open(file))
    except ValueError:
        print("  %s: its costs could not be measured" % name)
        failed = True
for name, c in costs.items():
    if c["ports"] < c["first_ports"] or c["measurements"] < c["first_measurements"]:
        print("  %s: %d ports and %d measurements, of %d and %d" % (name, c["ports"], c["measurements"], c["first_ports"], c["first_measurements"]))
        failed = True
n = max(1, len(costs))
total = lambda part, field: sum(c[part][field] for c in costs.values())
asked, all = total("poll", "asked"), total("discovery", "asked")
replies, fewest = total("poll", "replies"), total("poll", "fewest")
print("the average of %d devices      objects    replies     fewest" % len(costs))
print("  its discovery            %11.1f %10.1f %10.1f" % (all / n, total("discovery", "replies") / n, total("discovery", "fewest") / n))
print("  a poll after it          %11.1f %10.1f %10.1f" % (asked / n, replies / n, fewest / n))
for what, value, most in (("objects of a poll, in percent of its discovery's", 100 * asked / max(1, all), most_asked), ("replies of a poll, in terms of the fewest", replies / max(1, fewest), most_replies)):
    print("%-52s %6.2f, at most %g  %s" % (what, value, most, "yes" if value <= most else "NO"))
    failed = failed or value > most
sys.exit(failed)
END
exit "$failed"
