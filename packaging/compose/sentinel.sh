#!/bin/sh
# Starts a Sentinel of docker-compose.yml with packaging/redis/sentinel.conf.
# Sentinel writes what it learns into its file, so that is made once, in /data:
# other passwords need new volumes of the Sentinels.
set -eu
umask 077

conf=/data/sentinel.conf
if ! [ -e "$conf" ]; then
	# Containers change their addresses and keep their names.
	{
		echo 'sentinel resolve-hostnames yes'
		echo 'sentinel announce-hostnames yes'
		echo "sentinel announce-ip $REDIS_NAME"
		while IFS= read -r line; do
			case $line in
			'bind '*) line='bind * -::*' ;;
			'dir '*) line='dir /data' ;;
			'requirepass '*) line="requirepass $REDIS_SENTINEL_PASSWORD" ;;
			'sentinel monitor '*) line="sentinel monitor $REDIS_SENTINEL_SERVICE $REDIS_MASTER 6379 2" ;;
			'sentinel auth-pass '*) line="sentinel auth-pass $REDIS_SENTINEL_SERVICE $REDIS_MONITOR_PASSWORD" ;;
			'sentinel '*' mymaster '*) line="${line%% mymaster *} $REDIS_SENTINEL_SERVICE ${line#* mymaster }" ;;
			esac
			printf '%s\n' "$line"
		done </packaging/redis/sentinel.conf
	} >"$conf.new"
	mv "$conf.new" "$conf"
fi
exec redis-sentinel "$conf"
