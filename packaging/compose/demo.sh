#!/bin/sh
# Adds the simulated devices of the profile demo, in two poller groups. What is
# there already stays as it is, so it may run at every start.
set -eu

devices=${DEMO_DEVICES:-50} interval=${DEMO_INTERVAL:-20}
case $devices$interval in
*[!0-9]*) echo "DEMO_DEVICES and DEMO_INTERVAL are numbers" >&2; exit 2 ;;
esac
if [ "$devices" -lt 1 ] || [ "$devices" -gt 300 ]; then
	echo "DEMO_DEVICES is from 1 to 300, not $devices" >&2
	exit 2
fi

# On a machine that starts everything at once a server may not answer in time: pollux ends with 5 then.
if [ -z "${DEMO_TRY:-}" ]; then
	for DEMO_TRY in 1 2 3 4 5; do
		export DEMO_TRY
		code=0
		sh "$0" || code=$?
		if [ "$code" -ne 5 ]; then exit "$code"; fi
		sleep 5
	done
	exit 5
fi

pollux device list >/tmp/known
if ! grep -q 'demo-[0-9]' /tmp/known; then
	# The first time only: what somebody sets later stays.
	pollux config set distributed_poller true
	# An hour of history: the archives of a real network take 2.4 MB a port.
	pollux config set rrd.rra 'AVERAGE:1x360 MAX:6x360'
fi

i=0
{
	echo hostname,address,port,version,community,group,interval
	while [ "$i" -lt "$devices" ]; do
		name=$(printf 'demo-%04d' $((i + 1)))
		if [ $((i % 2)) -eq 0 ]; then group=demo-a; else group=demo-b; fi
		grep -q "$name" /tmp/known || echo "$name,simulator,$((20000 + i)),v2c,public,$group,$interval"
		i=$((i + 1))
	done
} >/tmp/demo.csv
if [ "$(wc -l </tmp/demo.csv)" -eq 1 ]; then
	echo "all $devices devices are there"
	exit 0
fi
for group in demo-a demo-b; do
	pollux group show "$group" >/dev/null 2>&1 || pollux group create "$group" --description 'simulated devices'
done
exec pollux device add --csv /tmp/demo.csv
