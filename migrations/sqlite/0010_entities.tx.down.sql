ALTER TABLE entities DROP COLUMN missed;
--bun:split
ALTER TABLE entities DROP COLUMN missed_slot;
