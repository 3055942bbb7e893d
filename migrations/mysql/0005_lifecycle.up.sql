-- snmp_disable: the device is asked by ICMP only, as LibreNMS calls it. ignored: it is polled, but its events raise no alarm.
-- One statement per table, since MySQL carries it out whole or not at all; only where the columns are missing, since a migration that crashed is run again.
SET @statement = IF((SELECT COUNT(*) FROM information_schema.columns WHERE table_schema = DATABASE() AND table_name = 'devices' AND column_name = 'ignored') > 0, 'DO 0',
    'ALTER TABLE devices ADD COLUMN snmp_disable BOOLEAN NOT NULL DEFAULT FALSE, ADD COLUMN ignored BOOLEAN NOT NULL DEFAULT FALSE');
--bun:split
PREPARE alteration FROM @statement;
--bun:split
EXECUTE alteration;
--bun:split
DEALLOCATE PREPARE alteration;
--bun:split
-- delete_history: whoever removed the device wants its RRD files to go, too.
SET @statement = IF((SELECT COUNT(*) FROM information_schema.columns WHERE table_schema = DATABASE() AND table_name = 'removed_devices' AND column_name = 'delete_history') > 0, 'DO 0',
    'ALTER TABLE removed_devices ADD COLUMN delete_history BOOLEAN NOT NULL DEFAULT FALSE');
--bun:split
PREPARE alteration FROM @statement;
--bun:split
EXECUTE alteration;
--bun:split
DEALLOCATE PREPARE alteration;
--bun:split
-- Credentials that new devices are tried with, the lowest try_order first. community, auth_password and priv_password hold sealed texts only.
-- poller_groups: NULL for devices of every poller group, else group ids separated by commas.
CREATE TABLE IF NOT EXISTS credential_sets (
    id            BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    name          VARCHAR(64) NOT NULL,
    try_order     INTEGER NOT NULL,
    snmp_version  VARCHAR(8) NOT NULL,
    community     VARCHAR(1024) NOT NULL,
    snmp_user     VARCHAR(64) NOT NULL,
    auth_protocol VARCHAR(16) NOT NULL,
    auth_password VARCHAR(1024) NOT NULL,
    priv_protocol VARCHAR(16) NOT NULL,
    priv_password VARCHAR(1024) NOT NULL,
    snmp_context  VARCHAR(64) NOT NULL,
    poller_groups TEXT,
    changed_at    BIGINT NOT NULL,
    CONSTRAINT credential_sets_name UNIQUE (name)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
