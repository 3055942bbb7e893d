ALTER TABLE devices DROP COLUMN outages_changed;
--bun:split
ALTER TABLE devices DROP COLUMN poller_modules_off;
