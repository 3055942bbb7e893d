-- device_id and port_id are 0 when an event concerns none; events outlive their device and port.
CREATE TABLE IF NOT EXISTS eventlog (
    id        BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    logged_at BIGINT NOT NULL,
    device_id BIGINT NOT NULL,
    port_id   BIGINT NOT NULL,
    type      VARCHAR(64) NOT NULL,
    severity  VARCHAR(16) NOT NULL,
    message   VARCHAR(1024) NOT NULL,
    node      VARCHAR(64) NOT NULL,
    actor     VARCHAR(255) NOT NULL,
    INDEX eventlog_device (device_id, id),
    INDEX eventlog_logged_at (logged_at)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
--bun:split
-- The times during which a device was down; up_again is NULL while it still is.
CREATE TABLE IF NOT EXISTS device_outages (
    id         BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    device_id  BIGINT NOT NULL,
    going_down BIGINT NOT NULL,
    up_again   BIGINT,
    CONSTRAINT device_outages_device FOREIGN KEY (device_id) REFERENCES devices (id) ON DELETE CASCADE,
    INDEX device_outages_device_id (device_id, going_down)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
