#!/bin/sh
# PostgreSQL with the variables of the official image: POSTGRES_DB, _USER, _PASSWORD.
set -eu
umask 077

data=/var/lib/postgresql/data
export PATH="$PATH:/usr/lib/postgresql/15/bin"
if ! [ -e "$data/PG_VERSION" ]; then
	printf '%s\n' "$POSTGRES_PASSWORD" >/tmp/password
	initdb --pgdata="$data" --username="$POSTGRES_USER" --pwfile=/tmp/password --auth-local=trust --auth-host=scram-sha-256 --encoding=UTF8 >/dev/null
	rm /tmp/password
	echo 'host all all all scram-sha-256' >>"$data/pg_hba.conf"
	echo "CREATE DATABASE $POSTGRES_DB;" | postgres --single -j -D "$data" postgres >/dev/null
fi
exec postgres -D "$data" -c listen_addresses='*' -c unix_socket_directories=/var/run/postgresql "$@"
