DROP TABLE IF EXISTS bill_history;
--bun:split
DROP TABLE IF EXISTS bill_data;
--bun:split
DROP TABLE IF EXISTS bill_samples;
--bun:split
DROP TABLE IF EXISTS bill_counters;
--bun:split
DROP TABLE IF EXISTS bill_ports;
--bun:split
DROP TABLE IF EXISTS bills;
