-- lacks: columns and objects that the last discovery did not find on the device, by their MIB names with commas between them; polls do not ask for them.
ALTER TABLE devices ADD COLUMN lacks VARCHAR(1024) NOT NULL DEFAULT '';
