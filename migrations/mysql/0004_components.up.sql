-- One statement, since MySQL carries it out whole or not at all; only where the columns are missing, since a migration that crashed is run again.
SET @statement = IF((SELECT COUNT(*) FROM information_schema.columns WHERE table_schema = DATABASE() AND table_name = 'devices' AND column_name = 'discovered_at') > 0, 'DO 0',
    'ALTER TABLE devices
        ADD COLUMN features VARCHAR(255) NOT NULL DEFAULT '''',
        ADD COLUMN components_digest VARCHAR(32) NOT NULL DEFAULT '''',
        ADD COLUMN discovered_at BIGINT NOT NULL DEFAULT 0,
        ADD COLUMN discovered_slot BIGINT NOT NULL DEFAULT 0,
        ADD COLUMN discovery_ms BIGINT NOT NULL DEFAULT 0,
        ADD COLUMN discovery_outcome VARCHAR(16) NOT NULL DEFAULT '''',
        ADD COLUMN discovery_reason VARCHAR(200) NOT NULL DEFAULT ''''');
--bun:split
PREPARE alteration FROM @statement;
--bun:split
EXECUTE alteration;
--bun:split
DEALLOCATE PREPARE alteration;
--bun:split
-- Processors, memory, storage and sensors, as definitions find them. reading and states are JSON; limits, values and amounts (bytes) are NULL
-- where there are none; last_value is percent, or a sensor's value, when the device was discovered last.
CREATE TABLE IF NOT EXISTS components (
    id              BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    device_id       BIGINT NOT NULL,
    kind            VARCHAR(16) NOT NULL,
    class           VARCHAR(32) NOT NULL,
    component_type  VARCHAR(64) NOT NULL,
    component_index VARCHAR(255) NOT NULL,
    descr           VARCHAR(255) NOT NULL,
    label           VARCHAR(255) NOT NULL,
    reading         TEXT NOT NULL,
    states          TEXT NOT NULL,
    limit_low       DOUBLE,
    limit_low_warn  DOUBLE,
    limit_high_warn DOUBLE,
    limit_high      DOUBLE,
    last_value      DOUBLE NOT NULL,
    used            DOUBLE,
    total           DOUBLE,
    status          VARCHAR(16) NOT NULL,
    disabled        BOOLEAN NOT NULL,
    vanished        BOOLEAN NOT NULL,
    missed          INTEGER NOT NULL,
    missed_slot     BIGINT NOT NULL,
    rrd_name        VARCHAR(200) NOT NULL,
    generation      INTEGER NOT NULL,
    seen_at         BIGINT NOT NULL,
    CONSTRAINT components_rrd_name UNIQUE (device_id, rrd_name),
    CONSTRAINT components_device FOREIGN KEY (device_id) REFERENCES devices (id) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
