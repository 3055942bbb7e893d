#!/bin/bash
# Runs docker-compose.yml with images made on this machine and the test of it,
# in a copy of this repository, under a Docker daemon of its own. As root, on
# Debian. Two daemons share the machine's firewall and the one that starts takes
# away the other's chains: where one runs already, this refuses to start. At the
# end iptables and net.ipv4.ip_forward are as they were before.
#   e2e.sh          kill and cut off its parts
#   e2e.sh guide    do what docs/how-to/compose.md says
# KEEP=DIR keeps the images and their Debian tree in DIR for the next time.
set -euo pipefail
cd "$(dirname "$0")/../.."

if [ "$(id -u)" -ne 0 ]; then echo "make e2e needs root: it starts a Docker daemon" >&2; exit 1; fi
# In a daemon of its own the guide's stack has the name of the guide.
case ${1:-} in
'') test=TestComposeCluster project=pollux-e2e profiles=demo,sentinel devices=200 ;;
guide) test=TestComposeGuide project=pollux profiles=demo devices=50 ;;
*) echo "usage: $0 [guide]" >&2; exit 2 ;;
esac
running=$(grep -slx dockerd /proc/[0-9]*/comm || true)
if [ -n "$running" ]; then
	running=${running#/proc/}
	echo "a Docker daemon runs already, as process ${running%%/*}: this one would take away its rules of the firewall; stop it, or use another machine" >&2
	exit 1
fi
work=$(mktemp -d /var/tmp/pollux-e2e.XXXXXX)
daemon=
forwarding=$(cat /proc/sys/net/ipv4/ip_forward)

# firewall FAMILY: keeps the rules of iptables or ip6tables. A machine may have neither.
firewall() {
	if command -v "$1-save" >/dev/null && command -v "$1-restore" >/dev/null; then "$1-save" -c >"$work/$1.before" || rm -f "$work/$1.before"; fi
}

# firewall_back FAMILY: puts them back, and empties tables that there were not.
firewall_back() {
	[ -e "$work/$1.before" ] || return 0
	"$1-save" -c >"$work/$1.after"
	local line name rest new=
	while IFS= read -r line; do
		read -r name rest <<<"$line"
		case $name in '*'*) if grep -qxF -e "$name" "$work/$1.before"; then new=; else new=1; fi ;; esac
		case $new$name,$rest in
		'1*'* | 1COMMIT,*) echo "$line" ;;
		1:*,-*) ;; # a chain that Docker has made
		1:*) echo "$name ACCEPT [0:0]" ;;
		esac
	done <"$work/$1.after" | cat "$work/$1.before" - | "$1-restore" -c || echo "$1 is not as it was: what the Docker daemon has left is in it" >&2
}

cleanup() {
	code=$?
	trap - EXIT
	set +e
	if [ -n "$daemon" ]; then
		if [ -e "$work/repository/.env" ]; then (cd "$work/repository" && docker-compose down --volumes --remove-orphans --timeout 5 >/dev/null 2>&1); fi
		docker ps --all --quiet | xargs --no-run-if-empty docker rm --force >/dev/null 2>&1 # of a second stack
		{ docker network prune --force; docker volume prune --force; } >/dev/null 2>&1
		kill "$daemon"
		wait "$daemon" 2>/dev/null
		umount "$work"/run/netns/* 2>/dev/null # network namespaces, which it leaves mounted
		firewall_back iptables
		firewall_back ip6tables
		[ "$(cat /proc/sys/net/ipv4/ip_forward)" = "$forwarding" ] || echo "$forwarding" >/proc/sys/net/ipv4/ip_forward
	fi
	rm -rf "$work"
	exit "$code"
}
trap cleanup EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

# Only what git knows: no .env, no data.
mkdir "$work/repository" "$work/answers"
git ls-files -z --cached --others --exclude-standard | tar -c --null --files-from=- | tar -x -C "$work/repository"
chmod 777 "$work/answers"

export DOCKER_HOST=unix://$work/docker.sock DOCKER_BUILDKIT=0 COMPOSE_DOCKER_CLI_BUILD=0
firewall iptables
firewall ip6tables
dockerd --host "$DOCKER_HOST" --data-root "${KEEP:-$work}/docker" --exec-root "$work/run" --pidfile "$work/docker.pid" --bridge none \
	--default-address-pool base=10.214.0.0/16,size=24 >"$work/dockerd.log" 2>&1 &
daemon=$!
for _ in $(seq 100); do
	if docker version >/dev/null 2>&1; then break; fi
	if ! kill -0 "$daemon" 2>/dev/null; then tail -20 "$work/dockerd.log" >&2; exit 1; fi
	sleep 0.3
done

cd "$work/repository"
./packaging/compose/local/images.sh
mapfile -t ports < <(shuf -i 21000-31000 -n 6)
ASYNQMON_PORT=${ports[0]} PROMETHEUS_PORT=${ports[1]} PROFILES=$profiles PROJECT=$project LOCAL=1 DEMO_DEVICES=$devices DEMO_INTERVAL=20 ./packaging/compose/env.sh
if [ "$test" = TestComposeCluster ]; then
	sed -i 's,^COMPOSE_FILE=.*,&:packaging/compose/e2e.yml,' .env
	cat >>.env <<END
E2E_ANSWERS=$work/answers
E2E_PORT_MARIADB=${ports[2]}
E2E_PORT_REDIS_1=${ports[3]}
E2E_PORT_REDIS_2=${ports[4]}
E2E_PORT_REDIS_3=${ports[5]}
END
fi
if [ "$test" = TestComposeCluster ]; then # the guide has a line of its own for it
	docker-compose build >"$work/build.log" 2>&1 || { tail -40 "$work/build.log" >&2; exit 1; }
fi
E2E_DIR=$PWD go test -tags 'faults e2e' -count=1 -timeout 25m -run "^$test\$" -v ./cmd/pollux
