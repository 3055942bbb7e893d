-- Bills. allowed is bit/s of type cdr, bytes of type quota. period_from (Unix second) is where the open period begins. version grows with each change that people make.
CREATE TABLE IF NOT EXISTS bills (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    name          VARCHAR(128) NOT NULL,
    ref           VARCHAR(128) NOT NULL,
    customer      VARCHAR(128) NOT NULL,
    notes         VARCHAR(1024) NOT NULL,
    bill_type     VARCHAR(8) NOT NULL,
    allowed       BIGINT NOT NULL,
    direction     VARCHAR(16) NOT NULL,
    bill_day      INTEGER NOT NULL,
    time_zone     VARCHAR(64) NOT NULL,
    period_from   BIGINT NOT NULL,
    calculated_at BIGINT NOT NULL,
    version       BIGINT NOT NULL,
    created_at    BIGINT NOT NULL,
    CONSTRAINT bills_name UNIQUE (name)
);
--bun:split
CREATE INDEX IF NOT EXISTS bills_calculated_at ON bills (calculated_at);
--bun:split
-- Which samples a bill counts: those of the port whose slots lie in from_slot <= slot < until_slot (0: no end). No foreign key to ports:
-- a port that is gone keeps its history. done_slot: up to there its samples are in bill_data. The names are those it had when it came.
CREATE TABLE IF NOT EXISTS bill_ports (
    bill_id     BIGINT NOT NULL,
    port_id     BIGINT NOT NULL,
    from_slot   BIGINT NOT NULL,
    until_slot  BIGINT NOT NULL,
    done_slot   BIGINT NOT NULL,
    device_name VARCHAR(253) NOT NULL,
    port_name   VARCHAR(255) NOT NULL,
    PRIMARY KEY (bill_id, port_id, from_slot),
    CONSTRAINT bill_ports_bill FOREIGN KEY (bill_id) REFERENCES bills (id) ON DELETE CASCADE
);
--bun:split
CREATE INDEX IF NOT EXISTS bill_ports_port ON bill_ports (port_id);
--bun:split
-- What was read last of each port that is or was billed; slot 0 when nothing was. Counters are 64 bits without a sign, kept as ones with a sign.
CREATE TABLE IF NOT EXISTS bill_counters (
    port_id       BIGINT NOT NULL PRIMARY KEY,
    slot          BIGINT NOT NULL,
    slot_seconds  INTEGER NOT NULL,
    read_at       BIGINT NOT NULL,
    uptime        BIGINT NOT NULL,
    discontinuity BIGINT NOT NULL,
    in_counter    BIGINT NOT NULL,
    out_counter   BIGINT NOT NULL,
    counter_bits  INTEGER NOT NULL,
    if_index      BIGINT NOT NULL,
    if_speed      BIGINT NOT NULL,
    flags         INTEGER NOT NULL
);
--bun:split
-- What each port carried in each slot. slot_seconds is the slot's length, slots how many the bytes are spread over, span_ms the time since the reading before.
CREATE TABLE IF NOT EXISTS bill_samples (
    port_id      BIGINT NOT NULL,
    slot         BIGINT NOT NULL,
    slot_seconds INTEGER NOT NULL,
    slots        INTEGER NOT NULL,
    read_at      BIGINT NOT NULL,
    span_ms      BIGINT NOT NULL,
    in_bytes     BIGINT NOT NULL,
    out_bytes    BIGINT NOT NULL,
    flags        INTEGER NOT NULL,
    PRIMARY KEY (port_id, slot)
);
--bun:split
-- The rates of each bill's slots, added up over its ports: a row for each 6 hours (from begin, a Unix second), packed as package billing does.
CREATE TABLE IF NOT EXISTS bill_data (
    bill_id  BIGINT NOT NULL,
    begin_at BIGINT NOT NULL,
    data     BLOB NOT NULL,
    PRIMARY KEY (bill_id, begin_at),
    CONSTRAINT bill_data_bill FOREIGN KEY (bill_id) REFERENCES bills (id) ON DELETE CASCADE
);
--bun:split
-- The periods of bills: one that is open, and closed ones, which nothing changes any more. Times are Unix seconds, calculated_at Unix milliseconds; rates bit/s.
CREATE TABLE IF NOT EXISTS bill_history (
    bill_id          BIGINT NOT NULL,
    period_from      BIGINT NOT NULL,
    period_to        BIGINT NOT NULL,
    closed           BOOLEAN NOT NULL,
    calculated_at    BIGINT NOT NULL,
    calculated_to    BIGINT NOT NULL,
    bill_type        VARCHAR(8) NOT NULL,
    allowed          BIGINT NOT NULL,
    direction        VARCHAR(16) NOT NULL,
    method           VARCHAR(16) NOT NULL,
    in_bytes         BIGINT NOT NULL,
    out_bytes        BIGINT NOT NULL,
    rate_95th_in     BIGINT NOT NULL,
    rate_95th_out    BIGINT NOT NULL,
    rate_95th        BIGINT NOT NULL,
    average_in       BIGINT NOT NULL,
    average_out      BIGINT NOT NULL,
    peak_in          BIGINT NOT NULL,
    peak_out         BIGINT NOT NULL,
    peak             BIGINT NOT NULL,
    used             BIGINT NOT NULL,
    overuse          BIGINT NOT NULL,
    predicted        BIGINT NOT NULL,
    measured_seconds BIGINT NOT NULL,
    got              BIGINT NOT NULL,
    got_seconds      BIGINT NOT NULL,
    expected         BIGINT NOT NULL,
    inexact          BIGINT NOT NULL,
    implausible      BIGINT NOT NULL,
    late             BIGINT NOT NULL,
    checksum         VARCHAR(64) NOT NULL,
    warned           INTEGER NOT NULL,
    PRIMARY KEY (bill_id, period_from),
    CONSTRAINT bill_history_bill FOREIGN KEY (bill_id) REFERENCES bills (id) ON DELETE CASCADE
);
