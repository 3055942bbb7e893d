-- entities: complete discoveries in a row without the part, and the slot of the last one.
ALTER TABLE entities ADD COLUMN IF NOT EXISTS missed INTEGER NOT NULL DEFAULT 0;
--bun:split
ALTER TABLE entities ADD COLUMN IF NOT EXISTS missed_slot BIGINT NOT NULL DEFAULT 0;
