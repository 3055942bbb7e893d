SET @statement = IF((SELECT COUNT(*) FROM information_schema.columns WHERE table_schema = DATABASE() AND table_name = 'devices' AND column_name = 'outages_changed') = 0, 'DO 0',
    'ALTER TABLE devices DROP COLUMN outages_changed, DROP COLUMN poller_modules_off');
--bun:split
PREPARE alteration FROM @statement;
--bun:split
EXECUTE alteration;
--bun:split
DEALLOCATE PREPARE alteration;
