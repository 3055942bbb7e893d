SET @statement = IF((SELECT COUNT(*) FROM information_schema.columns WHERE table_schema = DATABASE() AND table_name = 'devices' AND column_name = 'lacks') = 0, 'DO 0',
    'ALTER TABLE devices DROP COLUMN lacks, DROP COLUMN selected_ports');
--bun:split
PREPARE alteration FROM @statement;
--bun:split
EXECUTE alteration;
--bun:split
DEALLOCATE PREPARE alteration;
