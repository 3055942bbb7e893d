ALTER TABLE entities DROP COLUMN IF EXISTS missed;
--bun:split
ALTER TABLE entities DROP COLUMN IF EXISTS missed_slot;
