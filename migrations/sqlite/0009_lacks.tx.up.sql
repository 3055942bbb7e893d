-- lacks: columns and objects that the last discovery did not find on the device, by their MIB names with commas between them; polls do not ask for them.
ALTER TABLE devices ADD COLUMN lacks VARCHAR(1024) NOT NULL DEFAULT '';
--bun:split
-- selected_ports: whether counters of ports are read one by one (auto, true, false), as LibreNMS calls it; '' leaves it to the OS and the setting.
ALTER TABLE devices ADD COLUMN selected_ports VARCHAR(8) NOT NULL DEFAULT '';
