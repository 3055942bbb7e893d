DROP TABLE IF EXISTS node_history;
--bun:split
ALTER TABLE nodes DROP COLUMN IF EXISTS presence;
--bun:split
ALTER TABLE nodes DROP COLUMN IF EXISTS state;
--bun:split
ALTER TABLE nodes DROP COLUMN IF EXISTS served_groups;
--bun:split
ALTER TABLE nodes DROP COLUMN IF EXISTS draining;
--bun:split
ALTER TABLE nodes DROP COLUMN IF EXISTS poller_workers;
