ALTER TABLE devices DROP COLUMN selected_ports;
--bun:split
ALTER TABLE devices DROP COLUMN lacks;
