#!/bin/sh
# Installs the Debian packages named as arguments, those that are missing only.
#
# Services that this install brings are kept from starting and are disabled:
# a monitoring system brings up its own copies, and a machine must not get a
# Redis or a database that nobody asked for. What was there before is left alone.
set -eu

missing=
for package in "$@"; do
	if ! dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q '^install ok installed$'; then
		missing="$missing $package"
	fi
done
[ -n "$missing" ] || exit 0

run=
if [ "$(id -u)" -ne 0 ]; then
	if ! command -v sudo >/dev/null 2>&1 || ! { sudo -n true 2>/dev/null || { [ -t 0 ] && sudo true; }; }; then
		echo "Some Debian packages are missing. As root, run:" >&2
		echo "  apt-get install --no-install-recommends$missing" >&2
		exit 1
	fi
	run=sudo
fi

# The services of a package, by the names that invoke-rc.d and systemctl use.
services() {
	for package in $missing; do
		case $package in
		redis-server) echo redis-server ;;
		rrdcached) echo rrdcached ;;
		snmpd) echo snmpd ;;
		mariadb-server) echo mariadb ;;
		postgresql) echo postgresql ;;
		prometheus) echo prometheus prometheus-node-exporter ;;
		esac
	done
}

policy=/usr/sbin/policy-rc.d
saved=$policy.before-pollux
restore() {
	if [ -e "$saved" ]; then $run mv -f "$saved" "$policy"; else $run rm -f "$policy"; fi
}

if [ -e "$policy" ] && ! [ -e "$saved" ]; then $run mv "$policy" "$saved"; fi
trap restore EXIT
trap 'exit 130' INT TERM
{
	echo '#!/bin/sh'
	for service in $(services); do
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

for service in $(services); do
	if command -v systemctl >/dev/null 2>&1; then $run systemctl disable "$service" >/dev/null 2>&1 || true; fi
	if [ -x "/etc/init.d/$service" ]; then $run update-rc.d "$service" disable >/dev/null 2>&1 || true; fi
done
