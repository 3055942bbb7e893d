DROP TABLE IF EXISTS vlans;
--bun:split
DROP TABLE IF EXISTS neighbours;
--bun:split
DROP TABLE IF EXISTS entities;
--bun:split
DROP TABLE IF EXISTS addresses;
--bun:split
ALTER TABLE devices DROP COLUMN discovery_modules_off;
--bun:split
ALTER TABLE ports DROP COLUMN vlan;
