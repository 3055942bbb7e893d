DROP TABLE IF EXISTS credential_sets;
--bun:split
ALTER TABLE removed_devices DROP COLUMN IF EXISTS delete_history;
--bun:split
ALTER TABLE devices DROP COLUMN IF EXISTS ignored;
--bun:split
ALTER TABLE devices DROP COLUMN IF EXISTS snmp_disable;
