DROP TABLE IF EXISTS vlans;
--bun:split
DROP TABLE IF EXISTS neighbours;
--bun:split
DROP TABLE IF EXISTS entities;
--bun:split
DROP TABLE IF EXISTS addresses;
--bun:split
SET @statement = IF((SELECT COUNT(*) FROM information_schema.columns WHERE table_schema = DATABASE() AND table_name = 'devices' AND column_name = 'discovery_modules_off') = 0, 'DO 0',
    'ALTER TABLE devices DROP COLUMN discovery_modules_off');
--bun:split
PREPARE alteration FROM @statement;
--bun:split
EXECUTE alteration;
--bun:split
DEALLOCATE PREPARE alteration;
--bun:split
SET @statement = IF((SELECT COUNT(*) FROM information_schema.columns WHERE table_schema = DATABASE() AND table_name = 'ports' AND column_name = 'vlan') = 0, 'DO 0',
    'ALTER TABLE ports DROP COLUMN vlan');
--bun:split
PREPARE alteration FROM @statement;
--bun:split
EXECUTE alteration;
--bun:split
DEALLOCATE PREPARE alteration;
