DROP TABLE IF EXISTS credential_sets;
--bun:split
ALTER TABLE removed_devices DROP COLUMN delete_history;
--bun:split
ALTER TABLE devices DROP COLUMN ignored;
--bun:split
ALTER TABLE devices DROP COLUMN snmp_disable;
