-- Moments and durations are whole milliseconds. Columns are named after the fields that they keep.

CREATE TABLE heartbeats (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    armed_at INTEGER NOT NULL,
    schedule TEXT NOT NULL,
    paused INTEGER NOT NULL,
    removed_at INTEGER,
    answered INTEGER NOT NULL,
    last_seen INTEGER NOT NULL,
    last_success INTEGER NOT NULL,
    last_failure INTEGER NOT NULL,
    last_start INTEGER NOT NULL,
    successes INTEGER NOT NULL,
    failures INTEGER NOT NULL,
    starts INTEGER NOT NULL,
    logs INTEGER NOT NULL,
    pings INTEGER NOT NULL,
    consecutive_failures INTEGER NOT NULL,
    run_rid TEXT,
    run_started_at INTEGER, -- NULL: no run is open
    awaiting_since INTEGER,
    last_duration INTEGER,
    last_lateness INTEGER,
    last_exit_status INTEGER
);

-- A heartbeat's pings lie together, in the order of their numbers: its last ones are read, and its first ones dropped,
-- without an index beside the table.
CREATE TABLE pings (
    heartbeat INTEGER NOT NULL REFERENCES heartbeats ON DELETE CASCADE,
    number INTEGER NOT NULL, -- counts up from the heartbeat's first ping
    at INTEGER NOT NULL,
    signal TEXT NOT NULL,
    rid TEXT,
    exit_status INTEGER,
    ignored INTEGER NOT NULL,
    method TEXT NOT NULL,
    remote TEXT NOT NULL,
    user_agent TEXT NOT NULL,
    body BLOB NOT NULL,
    PRIMARY KEY (heartbeat, number)
) WITHOUT ROWID;

CREATE TABLE liveness (
    id INTEGER PRIMARY KEY CHECK (id = 1), -- one row at most
    alive_at INTEGER,
    outage_start INTEGER,
    outage_end INTEGER
);
