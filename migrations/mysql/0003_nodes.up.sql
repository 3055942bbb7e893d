-- poller_workers: NULL when the setting decides. served_groups: as the node last reported; NULL for a role without groups.
-- presence: what the eventlog said last: present, missing or stopped.
-- One statement, since MySQL carries it out whole or not at all; only where the columns are missing, since a migration that crashed is run again.
SET @statement = IF((SELECT COUNT(*) FROM information_schema.columns WHERE table_schema = DATABASE() AND table_name = 'nodes' AND column_name = 'presence') > 0, 'DO 0',
    'ALTER TABLE nodes
        ADD COLUMN poller_workers INTEGER,
        ADD COLUMN draining BOOLEAN NOT NULL DEFAULT FALSE,
        ADD COLUMN served_groups TEXT,
        ADD COLUMN state VARCHAR(16) NOT NULL DEFAULT '''',
        ADD COLUMN presence VARCHAR(16) NOT NULL DEFAULT ''''');
--bun:split
PREPARE alteration FROM @statement;
--bun:split
EXECUTE alteration;
--bun:split
DEALLOCATE PREPARE alteration;
--bun:split
-- What a node did of one kind of work in the five minutes before logged_at.
CREATE TABLE IF NOT EXISTS node_history (
    id               BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
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
    served_groups    TEXT,
    CONSTRAINT node_history_node UNIQUE (role, node_id, kind, logged_at),
    INDEX node_history_logged_at (logged_at)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
