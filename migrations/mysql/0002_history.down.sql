DROP TABLE IF EXISTS device_outages;
--bun:split
DROP TABLE IF EXISTS eventlog;
