-- device_id and port_id are 0 when an event concerns none; events outlive their device and port.
CREATE TABLE IF NOT EXISTS eventlog (
    id        INTEGER PRIMARY KEY AUTOINCREMENT,
    logged_at BIGINT NOT NULL,
    device_id BIGINT NOT NULL,
    port_id   BIGINT NOT NULL,
    type      VARCHAR(64) NOT NULL,
    severity  VARCHAR(16) NOT NULL,
    message   VARCHAR(1024) NOT NULL,
    node      VARCHAR(64) NOT NULL,
    actor     VARCHAR(255) NOT NULL
);
--bun:split
CREATE INDEX IF NOT EXISTS eventlog_device ON eventlog (device_id, id);
--bun:split
CREATE INDEX IF NOT EXISTS eventlog_logged_at ON eventlog (logged_at);
--bun:split
-- The times during which a device was down; up_again is NULL while it still is.
CREATE TABLE IF NOT EXISTS device_outages (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    device_id  BIGINT NOT NULL,
    going_down BIGINT NOT NULL,
    up_again   BIGINT,
    CONSTRAINT device_outages_device FOREIGN KEY (device_id) REFERENCES devices (id) ON DELETE CASCADE
);
--bun:split
CREATE INDEX IF NOT EXISTS device_outages_device_id ON device_outages (device_id, going_down);
