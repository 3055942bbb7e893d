#!/bin/sh
# MariaDB with the variables of the official image: MARIADB_DATABASE, _USER, _PASSWORD.
set -eu
umask 077

if ! [ -d /var/lib/mysql/mysql ]; then
	mariadb-install-db --skip-test-db --auth-root-authentication-method=socket >/dev/null
fi
# Carried out before anybody can log in, at every start.
cat >/tmp/init.sql <<END
CREATE DATABASE IF NOT EXISTS $MARIADB_DATABASE;
CREATE USER IF NOT EXISTS '$MARIADB_USER'@'%' IDENTIFIED BY '$MARIADB_PASSWORD';
GRANT ALL ON $MARIADB_DATABASE.* TO '$MARIADB_USER'@'%';
END
exec mariadbd --bind-address=0.0.0.0 --init-file=/tmp/init.sql "$@"
