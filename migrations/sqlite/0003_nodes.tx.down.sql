DROP TABLE IF EXISTS node_history;
--bun:split
ALTER TABLE nodes DROP COLUMN presence;
--bun:split
ALTER TABLE nodes DROP COLUMN state;
--bun:split
ALTER TABLE nodes DROP COLUMN served_groups;
--bun:split
ALTER TABLE nodes DROP COLUMN draining;
--bun:split
ALTER TABLE nodes DROP COLUMN poller_workers;
