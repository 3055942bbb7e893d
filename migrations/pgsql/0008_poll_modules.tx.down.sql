ALTER TABLE devices DROP COLUMN IF EXISTS outages_changed;
--bun:split
ALTER TABLE devices DROP COLUMN IF EXISTS poller_modules_off;
