DROP TABLE IF EXISTS components;
--bun:split
ALTER TABLE devices DROP COLUMN IF EXISTS features;
--bun:split
ALTER TABLE devices DROP COLUMN IF EXISTS components_digest;
--bun:split
ALTER TABLE devices DROP COLUMN IF EXISTS discovered_at;
--bun:split
ALTER TABLE devices DROP COLUMN IF EXISTS discovered_slot;
--bun:split
ALTER TABLE devices DROP COLUMN IF EXISTS discovery_ms;
--bun:split
ALTER TABLE devices DROP COLUMN IF EXISTS discovery_outcome;
--bun:split
ALTER TABLE devices DROP COLUMN IF EXISTS discovery_reason;
