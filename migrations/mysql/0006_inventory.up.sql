-- discovery_modules_off: modules of discoveries that do not run for the device, separated by commas. ports.vlan: that untagged frames go into; 0 when it is not known.
-- Only where the columns are missing, since a migration that crashed is run again.
SET @statement = IF((SELECT COUNT(*) FROM information_schema.columns WHERE table_schema = DATABASE() AND table_name = 'devices' AND column_name = 'discovery_modules_off') > 0, 'DO 0',
    'ALTER TABLE devices ADD COLUMN discovery_modules_off VARCHAR(255) NOT NULL DEFAULT ''''');
--bun:split
PREPARE alteration FROM @statement;
--bun:split
EXECUTE alteration;
--bun:split
DEALLOCATE PREPARE alteration;
--bun:split
SET @statement = IF((SELECT COUNT(*) FROM information_schema.columns WHERE table_schema = DATABASE() AND table_name = 'ports' AND column_name = 'vlan') > 0, 'DO 0',
    'ALTER TABLE ports ADD COLUMN vlan INTEGER NOT NULL DEFAULT 0');
--bun:split
PREPARE alteration FROM @statement;
--bun:split
EXECUTE alteration;
--bun:split
DEALLOCATE PREPARE alteration;
--bun:split
-- IP addresses of devices. port_id is 0 where no port has the ifIndex; prefix_length 0 where the device does not say.
CREATE TABLE IF NOT EXISTS addresses (
    id            BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    device_id     BIGINT NOT NULL,
    port_id       BIGINT NOT NULL,
    if_index      BIGINT NOT NULL,
    address       VARCHAR(45) NOT NULL,
    prefix_length INTEGER NOT NULL,
    found_at      BIGINT NOT NULL,
    vanished      BOOLEAN NOT NULL,
    missed        INTEGER NOT NULL,
    missed_slot   BIGINT NOT NULL,
    CONSTRAINT addresses_device FOREIGN KEY (device_id) REFERENCES devices (id) ON DELETE CASCADE,
    INDEX addresses_device_id (device_id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
--bun:split
-- Physical parts of devices, as entPhysicalTable (RFC 6933) has them; replaced by each complete discovery.
CREATE TABLE IF NOT EXISTS entities (
    device_id    BIGINT NOT NULL,
    entity_index BIGINT NOT NULL,
    parent_index BIGINT NOT NULL,
    class        VARCHAR(32) NOT NULL,
    descr        VARCHAR(255) NOT NULL,
    name         VARCHAR(255) NOT NULL,
    hardware_rev VARCHAR(255) NOT NULL,
    firmware_rev VARCHAR(255) NOT NULL,
    software_rev VARCHAR(255) NOT NULL,
    serial       VARCHAR(255) NOT NULL,
    model        VARCHAR(255) NOT NULL,
    vendor       VARCHAR(255) NOT NULL,
    is_fru       BOOLEAN NOT NULL,
    PRIMARY KEY (device_id, entity_index),
    CONSTRAINT entities_device FOREIGN KEY (device_id) REFERENCES devices (id) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
--bun:split
-- What devices hear at their ports by LLDP and CDP. port_id and if_index are those of the local port, 0 where it is not known; remote_address is empty for none.
CREATE TABLE IF NOT EXISTS neighbours (
    id                BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    device_id         BIGINT NOT NULL,
    port_id           BIGINT NOT NULL,
    if_index          BIGINT NOT NULL,
    protocol          VARCHAR(8) NOT NULL,
    local_port        VARCHAR(255) NOT NULL,
    remote_id         VARCHAR(255) NOT NULL,
    remote_name       VARCHAR(255) NOT NULL,
    remote_port       VARCHAR(255) NOT NULL,
    remote_port_descr VARCHAR(255) NOT NULL,
    remote_platform   VARCHAR(255) NOT NULL,
    remote_descr      VARCHAR(255) NOT NULL,
    remote_address    VARCHAR(45) NOT NULL,
    found_at          BIGINT NOT NULL,
    vanished          BOOLEAN NOT NULL,
    missed            INTEGER NOT NULL,
    missed_slot       BIGINT NOT NULL,
    CONSTRAINT neighbours_device FOREIGN KEY (device_id) REFERENCES devices (id) ON DELETE CASCADE,
    INDEX neighbours_device_id (device_id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
--bun:split
-- VLANs that devices know.
CREATE TABLE IF NOT EXISTS vlans (
    id          BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    device_id   BIGINT NOT NULL,
    vlan        INTEGER NOT NULL,
    name        VARCHAR(255) NOT NULL,
    state       VARCHAR(32) NOT NULL,
    found_at    BIGINT NOT NULL,
    vanished    BOOLEAN NOT NULL,
    missed      INTEGER NOT NULL,
    missed_slot BIGINT NOT NULL,
    CONSTRAINT vlans_device FOREIGN KEY (device_id) REFERENCES devices (id) ON DELETE CASCADE,
    INDEX vlans_device_id (device_id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
