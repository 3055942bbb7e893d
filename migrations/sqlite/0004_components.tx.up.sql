ALTER TABLE devices ADD COLUMN features VARCHAR(255) NOT NULL DEFAULT '';
--bun:split
ALTER TABLE devices ADD COLUMN components_digest VARCHAR(32) NOT NULL DEFAULT '';
--bun:split
ALTER TABLE devices ADD COLUMN discovered_at BIGINT NOT NULL DEFAULT 0;
--bun:split
ALTER TABLE devices ADD COLUMN discovered_slot BIGINT NOT NULL DEFAULT 0;
--bun:split
ALTER TABLE devices ADD COLUMN discovery_ms BIGINT NOT NULL DEFAULT 0;
--bun:split
ALTER TABLE devices ADD COLUMN discovery_outcome VARCHAR(16) NOT NULL DEFAULT '';
--bun:split
ALTER TABLE devices ADD COLUMN discovery_reason VARCHAR(200) NOT NULL DEFAULT '';
--bun:split
-- Processors, memory, storage and sensors, as definitions find them. reading and states are JSON; limits, values and amounts (bytes) are NULL
-- where there are none; last_value is percent, or a sensor's value, when the device was discovered last.
CREATE TABLE IF NOT EXISTS components (
    id              INTEGER PRIMARY KEY AUTOINCREMENT,
    device_id       BIGINT NOT NULL,
    kind            VARCHAR(16) NOT NULL,
    class           VARCHAR(32) NOT NULL,
    component_type  VARCHAR(64) NOT NULL,
    component_index VARCHAR(255) NOT NULL,
    descr           VARCHAR(255) NOT NULL,
    label           VARCHAR(255) NOT NULL,
    reading         TEXT NOT NULL,
    states          TEXT NOT NULL,
    limit_low       DOUBLE PRECISION,
    limit_low_warn  DOUBLE PRECISION,
    limit_high_warn DOUBLE PRECISION,
    limit_high      DOUBLE PRECISION,
    last_value      DOUBLE PRECISION NOT NULL,
    used            DOUBLE PRECISION,
    total           DOUBLE PRECISION,
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
);
