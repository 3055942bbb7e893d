DROP TABLE IF EXISTS node_history;
--bun:split
SET @statement = IF((SELECT COUNT(*) FROM information_schema.columns WHERE table_schema = DATABASE() AND table_name = 'nodes' AND column_name = 'presence') = 0, 'DO 0',
    'ALTER TABLE nodes DROP COLUMN presence, DROP COLUMN state, DROP COLUMN served_groups, DROP COLUMN draining, DROP COLUMN poller_workers');
--bun:split
PREPARE alteration FROM @statement;
--bun:split
EXECUTE alteration;
--bun:split
DEALLOCATE PREPARE alteration;
