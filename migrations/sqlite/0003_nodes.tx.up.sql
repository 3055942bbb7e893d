-- poller_workers: NULL when the setting decides. served_groups: as the node last reported; NULL for a role without groups.
ALTER TABLE nodes ADD COLUMN poller_workers INTEGER;
--bun:split
ALTER TABLE nodes ADD COLUMN draining BOOLEAN NOT NULL DEFAULT FALSE;
--bun:split
ALTER TABLE nodes ADD COLUMN served_groups TEXT;
--bun:split
ALTER TABLE nodes ADD COLUMN state VARCHAR(16) NOT NULL DEFAULT '';
--bun:split
-- What the eventlog said last: present, missing or stopped.
ALTER TABLE nodes ADD COLUMN presence VARCHAR(16) NOT NULL DEFAULT '';
--bun:split
-- What a node did of one kind of work in the five minutes before logged_at.
CREATE TABLE IF NOT EXISTS node_history (
    id               INTEGER PRIMARY KEY AUTOINCREMENT,
    logged_at        BIGINT NOT NULL,
    role             VARCHAR(16) NOT NULL,
    node_id          VARCHAR(64) NOT NULL,
    kind             VARCHAR(16) NOT NULL,
    done             BIGINT NOT NULL,
    errors           BIGINT NOT NULL,
    worker_ms        BIGINT NOT NULL,
    window_ms        BIGINT NOT NULL,
    workers          INTEGER NOT NULL,
    pending          BIGINT NOT NULL,
    lateness_mean_ms BIGINT NOT NULL,
    lateness_max_ms  BIGINT NOT NULL,
    served_groups    TEXT
);
--bun:split
CREATE UNIQUE INDEX IF NOT EXISTS node_history_node ON node_history (role, node_id, kind, logged_at);
--bun:split
CREATE INDEX IF NOT EXISTS node_history_logged_at ON node_history (logged_at);
