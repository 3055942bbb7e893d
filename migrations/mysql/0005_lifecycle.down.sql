DROP TABLE IF EXISTS credential_sets;
--bun:split
SET @statement = IF((SELECT COUNT(*) FROM information_schema.columns WHERE table_schema = DATABASE() AND table_name = 'removed_devices' AND column_name = 'delete_history') = 0, 'DO 0',
    'ALTER TABLE removed_devices DROP COLUMN delete_history');
--bun:split
PREPARE alteration FROM @statement;
--bun:split
EXECUTE alteration;
--bun:split
DEALLOCATE PREPARE alteration;
--bun:split
SET @statement = IF((SELECT COUNT(*) FROM information_schema.columns WHERE table_schema = DATABASE() AND table_name = 'devices' AND column_name = 'ignored') = 0, 'DO 0',
    'ALTER TABLE devices DROP COLUMN ignored, DROP COLUMN snmp_disable');
--bun:split
PREPARE alteration FROM @statement;
--bun:split
EXECUTE alteration;
--bun:split
DEALLOCATE PREPARE alteration;
