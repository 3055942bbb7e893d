-- The identity of the cluster: one row, made by the first migration.
CREATE TABLE IF NOT EXISTS cluster_identity (
    id         SMALLINT NOT NULL PRIMARY KEY,
    cluster_id VARCHAR(18) NOT NULL,
    key_id     VARCHAR(16) NOT NULL,
    key_check  VARCHAR(64) NOT NULL,
    created_at BIGINT NOT NULL
);
--bun:split
CREATE TABLE IF NOT EXISTS poller_groups (
    id          BIGINT NOT NULL PRIMARY KEY,
    name        VARCHAR(128) NOT NULL,
    description VARCHAR(1024) NOT NULL,
    CONSTRAINT poller_groups_name UNIQUE (name)
);
--bun:split
INSERT OR IGNORE INTO poller_groups (id, name, description) VALUES (0, 'General', 'Devices that are in no other group');
--bun:split
-- Times are Unix milliseconds, slots Unix seconds. community, auth_password and priv_password hold sealed texts only.
CREATE TABLE IF NOT EXISTS devices (
    id               INTEGER PRIMARY KEY AUTOINCREMENT,
    hostname         VARCHAR(253) NOT NULL,
    address          VARCHAR(253) NOT NULL,
    port             INTEGER NOT NULL,
    transport        VARCHAR(8) NOT NULL,
    snmp_version     VARCHAR(8) NOT NULL,
    community        VARCHAR(1024) NOT NULL,
    snmp_user        VARCHAR(64) NOT NULL,
    auth_protocol    VARCHAR(16) NOT NULL,
    auth_password    VARCHAR(1024) NOT NULL,
    priv_protocol    VARCHAR(16) NOT NULL,
    priv_password    VARCHAR(1024) NOT NULL,
    snmp_context     VARCHAR(64) NOT NULL,
    timeout_ms       BIGINT NOT NULL,
    retries          INTEGER NOT NULL,
    poller_group     BIGINT NOT NULL,
    poll_interval    INTEGER NOT NULL,
    slot_from        BIGINT NOT NULL,
    disabled         BOOLEAN NOT NULL,
    rrd_dir          VARCHAR(255) NOT NULL,
    shard            INTEGER NOT NULL,
    generation       INTEGER NOT NULL,
    status           VARCHAR(16) NOT NULL,
    previous_status  VARCHAR(16) NOT NULL,
    status_reason    VARCHAR(200) NOT NULL,
    polled_at        BIGINT NOT NULL,
    polled_slot      BIGINT NOT NULL,
    poll_duration_ms BIGINT NOT NULL,
    last_outcome     VARCHAR(16) NOT NULL,
    ports_digest     VARCHAR(32) NOT NULL,
    created_at       BIGINT NOT NULL,
    sys_name         VARCHAR(255) NOT NULL,
    sys_descr        TEXT NOT NULL,
    sys_object_id    VARCHAR(512) NOT NULL,
    sys_location     VARCHAR(255) NOT NULL,
    sys_contact      VARCHAR(255) NOT NULL,
    os               VARCHAR(64) NOT NULL,
    hardware         VARCHAR(255) NOT NULL,
    version          VARCHAR(255) NOT NULL,
    serial           VARCHAR(255) NOT NULL,
    uptime_ms        BIGINT NOT NULL,
    CONSTRAINT devices_rrd_dir UNIQUE (rrd_dir),
    CONSTRAINT devices_poller_group FOREIGN KEY (poller_group) REFERENCES poller_groups (id)
);
--bun:split
-- DNS names know no case.
CREATE UNIQUE INDEX IF NOT EXISTS devices_hostname ON devices (LOWER(hostname));
--bun:split
CREATE INDEX IF NOT EXISTS devices_group ON devices (poller_group);
--bun:split
-- What a removed device leaves behind: the name of its RRD directory, which no other device may get.
CREATE TABLE IF NOT EXISTS removed_devices (
    id         BIGINT NOT NULL PRIMARY KEY,
    hostname   VARCHAR(253) NOT NULL,
    rrd_dir    VARCHAR(255) NOT NULL,
    shard      INTEGER NOT NULL,
    removed_at BIGINT NOT NULL,
    CONSTRAINT removed_devices_rrd_dir UNIQUE (rrd_dir)
);
--bun:split
CREATE TABLE IF NOT EXISTS ports (
    id              INTEGER PRIMARY KEY AUTOINCREMENT,
    device_id       BIGINT NOT NULL,
    if_index        BIGINT NOT NULL,
    if_name         VARCHAR(255) NOT NULL,
    if_descr        VARCHAR(255) NOT NULL,
    if_alias        VARCHAR(255) NOT NULL,
    if_type         VARCHAR(64) NOT NULL,
    if_mtu          BIGINT NOT NULL,
    if_speed        BIGINT NOT NULL,
    if_admin_status VARCHAR(32) NOT NULL,
    if_oper_status  VARCHAR(32) NOT NULL,
    if_phys_address VARCHAR(64) NOT NULL,
    if_last_change  BIGINT NOT NULL,
    disabled        BOOLEAN NOT NULL,
    vanished        BOOLEAN NOT NULL,
    missed          INTEGER NOT NULL,
    missed_slot     BIGINT NOT NULL,
    generation      INTEGER NOT NULL,
    rrd_max         BIGINT NOT NULL,
    CONSTRAINT ports_device FOREIGN KEY (device_id) REFERENCES devices (id) ON DELETE CASCADE
);
--bun:split
CREATE INDEX IF NOT EXISTS ports_device_id ON ports (device_id);
--bun:split
CREATE TABLE IF NOT EXISTS settings (
    name       VARCHAR(128) NOT NULL PRIMARY KEY,
    value      TEXT NOT NULL,
    changed_at BIGINT NOT NULL,
    changed_by VARCHAR(255) NOT NULL
);
--bun:split
-- assigned_groups: NULL when the node was never assigned, else group ids separated by commas.
CREATE TABLE IF NOT EXISTS nodes (
    role            VARCHAR(16) NOT NULL,
    node_id         VARCHAR(64) NOT NULL,
    host            VARCHAR(255) NOT NULL,
    pid             BIGINT NOT NULL,
    version         VARCHAR(64) NOT NULL,
    assigned_groups TEXT,
    own_groups      TEXT,
    last_seen       BIGINT NOT NULL,
    started_at      BIGINT NOT NULL,
    PRIMARY KEY (role, node_id)
);
