#!/bin/sh
# Writes .env for docker-compose.yml, with new passwords. One that is there stays as it is.
#
# PROFILES: mysql or pgsql, redis or sentinel, demo, grafana, separated by commas.
# PROJECT: the name under which Compose keeps containers and volumes on this machine.
# LOCAL: anything: with images made on this machine (make compose-local), not official ones.
set -eu
umask 077

file=${ENV_FILE:-.env}
project=${PROJECT:-pollux}
profiles=,${PROFILES:-},

refuse() {
	echo "make compose-env: $*" >&2
	exit 2
}
has() { case $profiles in *",$1,"*) true ;; *) false ;; esac; }

if [ -e "$file" ] || [ -L "$file" ]; then refuse "$file is there already, and is left as it is: its passwords are those of the volumes"; fi
case $project in
'' | *[!a-z0-9_-]* | [_-]*) refuse "PROJECT is made of a-z, 0-9, _ and -, not $project" ;;
esac
for profile in $(echo "$profiles" | tr , ' '); do
	case $profile in
	mysql | pgsql | redis | sentinel | demo | grafana) ;;
	*) refuse "PROFILES are mysql or pgsql, redis or sentinel, demo and grafana, not $profile" ;;
	esac
done
if has mysql && has pgsql; then refuse "one database: mysql or pgsql"; fi
if has redis && has sentinel; then refuse "one Redis: redis or sentinel"; fi
has pgsql || has mysql || profiles=",mysql$profiles"
has sentinel || has redis || profiles=",redis$profiles"
# Volumes of a stack that was here have its passwords. Without Docker there are none.
if command -v docker >/dev/null 2>&1 && docker volume inspect "${project}_rrd-1" >/dev/null 2>&1; then
	refuse "this machine has volumes of a stack named $project, which need the .env that they were made with; for a second stack: make compose-env PROJECT=NAME"
fi

random() { od -An -N "$1" -tx1 /dev/urandom | tr -d ' \n'; }

{
	cat <<-END
		# Made by make compose-env. It holds the passwords of the volumes: keep a copy.
		# Every container of Pollux gets all of it; docs/configuration.md names the variables.
		COMPOSE_PROJECT_NAME=$project
		COMPOSE_PROFILES=$(echo "$profiles" | sed 's/^,*//; s/,*$//; s/,,*/,/g')
	END
	if [ -n "${LOCAL:-}" ]; then echo COMPOSE_FILE=docker-compose.yml:packaging/compose/local.yml; fi
	cat <<-END

		# Without this key nobody can read the stored credentials.
		APP_KEY=base64:$(head -c 32 /dev/urandom | base64)
		NODE_ID=auto
		# Poller groups that consumers serve once distributed_poller is on. One that does not exist yet is served as soon as it does.
	END
	if has demo; then echo DISTRIBUTED_POLLER_GROUP=0,1,2; else echo '#DISTRIBUTED_POLLER_GROUP=0,1,2'; fi
	echo
	if has pgsql; then
		printf 'DB_CONNECTION=pgsql\nDB_HOST=postgres\n'
	else
		printf 'DB_CONNECTION=mysql\nDB_HOST=mariadb\n'
	fi
	cat <<-END
		DB_DATABASE=pollux
		DB_USERNAME=pollux
		DB_PASSWORD=$(random 24)

	END
	if has sentinel; then
		cat <<-END
			REDIS_SENTINEL=sentinel-1:26379,sentinel-2:26379,sentinel-3:26379
			REDIS_SENTINEL_SERVICE=mymaster
			REDIS_SENTINEL_PASSWORD=$(random 24)
			# With which replicas log in to the master, and Sentinels to all three.
			REDIS_REPLICA_PASSWORD=$(random 24)
			REDIS_MONITOR_PASSWORD=$(random 24)
		END
	else
		echo REDIS_HOST=redis
	fi
	cat <<-END
		REDIS_USERNAME=pollux
		REDIS_PASSWORD=$(random 24)
		# The journal takes a quarter of it; docs/install.md says how much is needed. REDIS_MEM_LIMIT is to be twice as much.
		#REDIS_MAXMEMORY=512mb
		#REDIS_MEM_LIMIT=1200m

		RRDCACHED=rrdcached-1:42217,rrdcached-2:42217

		ASYNQMON_PASSWORD=$(random 24)
		GRAFANA_PASSWORD=$(random 12)

		# How many consumers run when up is not told otherwise by --scale.
		CONSUMERS=2

		# Ports of this machine, on 127.0.0.1 only.
		ASYNQMON_PORT=${ASYNQMON_PORT:-8080}
		PROMETHEUS_PORT=${PROMETHEUS_PORT:-9090}
		GRAFANA_PORT=${GRAFANA_PORT:-3000}
	END
	if has demo; then printf '\n# Simulated devices, at most 300, and the seconds between two polls of each.\nDEMO_DEVICES=%s\nDEMO_INTERVAL=%s\n' "${DEMO_DEVICES:-50}" "${DEMO_INTERVAL:-20}"; fi
} >"$file.new"
# Not over a file that came up meanwhile.
ln "$file.new" "$file" || refuse "$file is there already, and is left as it is"
rm "$file.new"
echo "wrote $file; now: docker compose up -d"
