-- lacks: columns and objects that the last discovery did not find on the device, by their MIB names with commas between them; polls do not ask for them.
-- selected_ports: whether counters of ports are read one by one (auto, true, false), as LibreNMS calls it; '' leaves it to the OS and the setting.
-- Only where the column is missing, since a migration that crashed is run again.
SET @statement = IF((SELECT COUNT(*) FROM information_schema.columns WHERE table_schema = DATABASE() AND table_name = 'devices' AND column_name = 'lacks') > 0, 'DO 0',
    'ALTER TABLE devices ADD COLUMN lacks VARCHAR(1024) NOT NULL DEFAULT '''', ADD COLUMN selected_ports VARCHAR(8) NOT NULL DEFAULT ''''');
--bun:split
PREPARE alteration FROM @statement;
--bun:split
EXECUTE alteration;
--bun:split
DEALLOCATE PREPARE alteration;
