DROP TABLE IF EXISTS components;
--bun:split
ALTER TABLE devices DROP COLUMN features;
--bun:split
ALTER TABLE devices DROP COLUMN components_digest;
--bun:split
ALTER TABLE devices DROP COLUMN discovered_at;
--bun:split
ALTER TABLE devices DROP COLUMN discovered_slot;
--bun:split
ALTER TABLE devices DROP COLUMN discovery_ms;
--bun:split
ALTER TABLE devices DROP COLUMN discovery_outcome;
--bun:split
ALTER TABLE devices DROP COLUMN discovery_reason;
