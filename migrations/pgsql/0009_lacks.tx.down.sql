ALTER TABLE devices DROP COLUMN IF EXISTS selected_ports;
--bun:split
ALTER TABLE devices DROP COLUMN IF EXISTS lacks;
