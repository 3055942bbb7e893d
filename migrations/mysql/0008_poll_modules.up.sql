-- poller_modules_off: modules of polls that do not run for the device, separated by commas. outages_changed: when an outage of it began or ended last (Unix ms); 0 when it was never down.
-- One statement, since MySQL carries it out whole or not at all; only where the columns are missing, since a migration that crashed is run again.
SET @statement = IF((SELECT COUNT(*) FROM information_schema.columns WHERE table_schema = DATABASE() AND table_name = 'devices' AND column_name = 'outages_changed') > 0, 'DO 0',
    'ALTER TABLE devices ADD COLUMN poller_modules_off VARCHAR(255) NOT NULL DEFAULT '''', ADD COLUMN outages_changed BIGINT NOT NULL DEFAULT 0');
--bun:split
PREPARE alteration FROM @statement;
--bun:split
EXECUTE alteration;
--bun:split
DEALLOCATE PREPARE alteration;
--bun:split
UPDATE devices SET outages_changed = 1 WHERE outages_changed = 0 AND id IN (SELECT device_id FROM device_outages);
