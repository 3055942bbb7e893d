DROP TABLE IF EXISTS components;
--bun:split
SET @statement = IF((SELECT COUNT(*) FROM information_schema.columns WHERE table_schema = DATABASE() AND table_name = 'devices' AND column_name = 'discovered_at') = 0, 'DO 0',
    'ALTER TABLE devices
        DROP COLUMN features,
        DROP COLUMN components_digest,
        DROP COLUMN discovered_at,
        DROP COLUMN discovered_slot,
        DROP COLUMN discovery_ms,
        DROP COLUMN discovery_outcome,
        DROP COLUMN discovery_reason');
--bun:split
PREPARE alteration FROM @statement;
--bun:split
EXECUTE alteration;
--bun:split
DEALLOCATE PREPARE alteration;
