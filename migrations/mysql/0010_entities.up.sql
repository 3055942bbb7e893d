-- entities: complete discoveries in a row without the part, and the slot of the last one.
-- Only where they are missing, since a migration that crashed is run again.
SET @statement = IF((SELECT COUNT(*) FROM information_schema.columns WHERE table_schema = DATABASE() AND table_name = 'entities' AND column_name = 'missed') > 0, 'DO 0',
    'ALTER TABLE entities ADD COLUMN missed INTEGER NOT NULL DEFAULT 0');
--bun:split
PREPARE alteration FROM @statement;
--bun:split
EXECUTE alteration;
--bun:split
DEALLOCATE PREPARE alteration;
--bun:split
SET @statement = IF((SELECT COUNT(*) FROM information_schema.columns WHERE table_schema = DATABASE() AND table_name = 'entities' AND column_name = 'missed_slot') > 0, 'DO 0',
    'ALTER TABLE entities ADD COLUMN missed_slot BIGINT NOT NULL DEFAULT 0');
--bun:split
PREPARE alteration FROM @statement;
--bun:split
EXECUTE alteration;
--bun:split
DEALLOCATE PREPARE alteration;
