DROP TABLE IF EXISTS nodes;
--bun:split
DROP TABLE IF EXISTS settings;
--bun:split
DROP TABLE IF EXISTS ports;
--bun:split
DROP TABLE IF EXISTS removed_devices;
--bun:split
DROP TABLE IF EXISTS devices;
--bun:split
DROP TABLE IF EXISTS poller_groups;
--bun:split
DROP TABLE IF EXISTS cluster_identity;
