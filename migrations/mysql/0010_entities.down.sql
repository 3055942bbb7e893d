SET @statement = IF((SELECT COUNT(*) FROM information_schema.columns WHERE table_schema = DATABASE() AND table_name = 'entities' AND column_name = 'missed') = 0, 'DO 0',
    'ALTER TABLE entities DROP COLUMN missed');
--bun:split
PREPARE alteration FROM @statement;
--bun:split
EXECUTE alteration;
--bun:split
DEALLOCATE PREPARE alteration;
--bun:split
SET @statement = IF((SELECT COUNT(*) FROM information_schema.columns WHERE table_schema = DATABASE() AND table_name = 'entities' AND column_name = 'missed_slot') = 0, 'DO 0',
    'ALTER TABLE entities DROP COLUMN missed_slot');
--bun:split
PREPARE alteration FROM @statement;
--bun:split
EXECUTE alteration;
--bun:split
DEALLOCATE PREPARE alteration;
