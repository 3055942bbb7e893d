#!/bin/sh
# Installs the Debian packages named as arguments, those that are missing only.
#
# Services that this install brings are kept from starting and are disabled:
# a monitoring system brings up its own copies, and a machine must not get a
# Redis or a database that nobody asked for. What was there before is left alone.
set -eu

policy=/usr/sbin/policy-rc.d
saved=$policy.before-pollux
mark='# written by packaging/apt.sh of Pollux, for the length of an install'

run=
if [ "$(id -u)" -ne 0 ]; then run=sudo; fi

# An install that was killed may have left our policy, or have moved the machine's own one away.
ours() { [ -e "$policy" ] && grep -qF "$mark" "$policy"; }
restore() {
	if ours; then $run rm -f "$policy"; fi
	if [ -e "$saved" ] && ! [ -e "$policy" ]; then $run mv "$saved" "$policy"; fi
}
if [ -z "$run" ]; then restore; fi

missing=
for package in "$@"; do
	if [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" != installed ]; then
		missing="$missing $package"
	fi
done
[ -n "$missing" ] || exit 0

if [ -n "$run" ]; then
	if ! command -v sudo >/dev/null 2>&1 || ! { sudo -n true 2>/dev/null || { [ -t 0 ] && sudo true; }; }; then
		echo "Some Debian packages are missing. As root, run:" >&2
		echo "  apt-get install --no-install-recommends$missing" >&2
		exit 1
	fi
	restore
fi

# The service of a package, by the name that invoke-rc.d and systemctl use.
service_of() {
	case $1 in
	redis-server) echo redis-server ;;
	rrdcached) echo rrdcached ;;
	snmpd) echo snmpd ;;
	mariadb-server) echo mariadb ;;
	postgresql) echo postgresql ;;
	prometheus) echo prometheus ;;
	docker.io) echo docker ;;
	esac
}

# Whether the machine has the service already, from another package or by hand.
known() {
	[ -e "/etc/init.d/$1" ] || { command -v systemctl >/dev/null 2>&1 && systemctl cat "$1.service" >/dev/null 2>&1; }
}

new=
for package in $missing; do
	service=$(service_of "$package")
	if [ -n "$service" ] && ! known "$service"; then new="$new $service"; fi
done

# A shell leaves out the trap on EXIT when a signal ends it: the signals have traps of their own.
trap restore EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM
if [ -e "$policy" ]; then $run mv "$policy" "$saved"; fi
{
	echo '#!/bin/sh'
	echo "$mark"
	for service in $new; do
		echo "case \$1 in $service|$service.service|$service@*) exit 101 ;; esac"
	done
	echo "[ -x $saved ] && exec $saved \"\$@\""
	echo 'exit 0'
} | $run tee "$policy" >/dev/null
$run chmod 755 "$policy"

echo "installing:$missing" >&2
$run apt-get update -qq
# The words are package names: they must split.
# shellcheck disable=SC2086
$run env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null

for service in $new; do
	if command -v systemctl >/dev/null 2>&1; then $run systemctl disable "$service" >/dev/null 2>&1 || true; fi
	if [ -x "/etc/init.d/$service" ]; then $run update-rc.d "$service" disable >/dev/null 2>&1 || true; fi
done
