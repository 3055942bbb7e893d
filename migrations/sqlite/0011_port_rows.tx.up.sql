-- if_row: the row of another table than the IF-MIB's that the port stands in, such as vrtr:2.3; '' for a port of the IF-MIB.
ALTER TABLE ports ADD COLUMN if_row VARCHAR(64) NOT NULL DEFAULT '';
