#!/bin/sh
# Starts a redis-server of docker-compose.yml with the files of packaging/redis.
# Passwords come from the environment and go into files of /tmp, which nobody
# else sees; who is whose replica is kept in /data, where Sentinel has it written.
set -eu
umask 077

hash() { printf %s "$1" | sha256sum | cut -d ' ' -f 1; }

users=users.acl
if [ -n "${REDIS_MASTER:-}" ]; then users=users-sentinel.acl; fi
{
	sed -e '/^user default /d' \
		-e "s/SHA256-OF-POLLUX-PASSWORD/$(hash "$REDIS_PASSWORD")/" \
		-e "s/SHA256-OF-REPLICA-PASSWORD/$(hash "${REDIS_REPLICA_PASSWORD:-}")/" \
		-e "s/SHA256-OF-SENTINEL-PASSWORD/$(hash "${REDIS_MONITOR_PASSWORD:-}")/" \
		"/packaging/redis/$users"
	sed "s/SHA256-OF-ASYNQMON-PASSWORD/$(hash "$ASYNQMON_PASSWORD")/" /packaging/compose/asynqmon.acl
} >/tmp/users.acl

conf=/data/pollux-redis.conf
role=
if [ -e "$conf" ]; then
	role=$(grep '^replicaof ' "$conf" || true)
elif [ -n "${REDIS_MASTER:-}" ] && [ "$REDIS_MASTER" != "$REDIS_NAME" ]; then
	role="replicaof $REDIS_MASTER 6379"
fi
{
	echo 'include /packaging/redis/redis.conf'
	if [ -n "${REDIS_MASTER:-}" ]; then
		echo 'include /packaging/redis/sentinel-node.conf'
		printf 'masterauth %s\n' "$REDIS_REPLICA_PASSWORD"
		echo "replica-announce-ip $REDIS_NAME"
	fi
	echo 'bind * -::*'
	echo 'dir /data'
	echo 'aclfile /tmp/users.acl'
	echo "maxmemory ${REDIS_MAXMEMORY:-512mb}"
	echo "$role"
} >"$conf.new"
mv "$conf.new" "$conf"
exec redis-server "$conf"
