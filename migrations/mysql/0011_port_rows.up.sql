-- if_row: the row of another table than the IF-MIB's that the port stands in, such as vrtr:2.3; '' for a port of the IF-MIB.
-- Only where it is missing, since a migration that crashed is run again.
SET @statement = IF((SELECT COUNT(*) FROM information_schema.columns WHERE table_schema = DATABASE() AND table_name = 'ports' AND column_name = 'if_row') > 0, 'DO 0',
    'ALTER TABLE ports ADD COLUMN if_row VARCHAR(64) NOT NULL DEFAULT ''''');
--bun:split
PREPARE alteration FROM @statement;
--bun:split
EXECUTE alteration;
--bun:split
DEALLOCATE PREPARE alteration;
