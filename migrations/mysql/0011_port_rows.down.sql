SET @statement = IF((SELECT COUNT(*) FROM information_schema.columns WHERE table_schema = DATABASE() AND table_name = 'ports' AND column_name = 'if_row') = 0, 'DO 0',
    'ALTER TABLE ports DROP COLUMN if_row');
--bun:split
PREPARE alteration FROM @statement;
--bun:split
EXECUTE alteration;
--bun:split
DEALLOCATE PREPARE alteration;
