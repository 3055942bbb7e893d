#!/bin/bash
# Runs asynqmon. It knows one address of Redis and nothing of Sentinels that
# want a password beside the servers' own: behind Sentinels this asks them for
# the master every 5 s, and starts asynqmon anew when that is another one.
set -u

if [ -z "${REDIS_SENTINEL:-}" ]; then exec asynqmon; fi

# answer N: so many lines of what a Sentinel says, into lines.
answer() {
	local line _
	lines=()
	for _ in $(seq "$1"); do
		read -r -t 2 line <&3 || exit 1
		lines+=("${line%$'\r'}")
	done
}

# master_of HOST PORT: the master that one Sentinel names, as HOST:PORT.
master_of() (
	exec 3<>"/dev/tcp/$1/$2" || exit 1
	if [ -n "${REDIS_SENTINEL_PASSWORD:-}" ]; then # without one, AUTH is an error
		printf 'AUTH %s%s\r\n' "${REDIS_SENTINEL_USERNAME:+$REDIS_SENTINEL_USERNAME }" "$REDIS_SENTINEL_PASSWORD" >&3
		answer 1
		[ "${lines[0]}" = +OK ] || exit 1
	fi
	printf 'SENTINEL get-master-addr-by-name %s\r\n' "${REDIS_SENTINEL_SERVICE:-mymaster}" >&3
	answer 1
	[ "${lines[0]}" = '*2' ] || exit 1
	answer 4 # host and port, each with its length
	echo "${lines[1]}:${lines[3]}"
)

master() {
	local sentinels one
	IFS=, read -ra sentinels <<<"$REDIS_SENTINEL"
	for one in "${sentinels[@]}"; do
		[[ $one == *:* ]] || one+=:26379
		master_of "${one%:*}" "${one##*:}" 2>/dev/null && return
	done
}

child= address=
stop() { if [ -n "$child" ]; then kill "$child" 2>/dev/null; wait "$child"; child=; fi; }
trap 'stop; exit 0' TERM INT
while :; do
	now=$(master)
	if [ -n "$now" ] && { [ "$now" != "$address" ] || ! kill -0 "$child" 2>/dev/null; }; then
		stop
		address=$now
		echo "the master is $address"
		REDIS_ADDR=$address asynqmon &
		child=$!
	fi
	sleep 5 &
	wait $!
done
