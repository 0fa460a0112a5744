-- Pings in the order in which they were acknowledged, each with the record that it left behind, until they are settled in
-- the tables of records and pings: an append costs one short write, however many heartbeats there are. The columns are
-- those of the two tables; a ping's number is what the record counts as its pings.
CREATE TABLE journal (
    entry INTEGER PRIMARY KEY,
    kept INTEGER NOT NULL, -- how many of the heartbeat's last pings are kept
    name TEXT NOT NULL,
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
    run_started_at INTEGER,
    awaiting_since INTEGER,
    last_duration INTEGER,
    last_lateness INTEGER,
    last_exit_status INTEGER,
    at INTEGER NOT NULL,
    signal TEXT NOT NULL,
    rid TEXT,
    exit_status INTEGER,
    ignored INTEGER NOT NULL,
    method TEXT NOT NULL,
    remote TEXT NOT NULL,
    user_agent TEXT NOT NULL,
    body BLOB NOT NULL
);
