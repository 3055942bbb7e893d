-- poller_modules_off: modules of polls that do not run for the device, separated by commas. outages_changed: when an outage of it began or ended last (Unix ms); 0 when it was never down.
ALTER TABLE devices ADD COLUMN poller_modules_off VARCHAR(255) NOT NULL DEFAULT '';
--bun:split
ALTER TABLE devices ADD COLUMN outages_changed BIGINT NOT NULL DEFAULT 0;
--bun:split
UPDATE devices SET outages_changed = 1 WHERE outages_changed = 0 AND id IN (SELECT device_id FROM device_outages);
