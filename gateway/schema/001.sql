-- One row for each transfer, and below it the steps of its timeline and the attempts at its delivery.
-- Times are milliseconds since 1970 (UTC), 0 for "not yet". Names of states, stages, codes and proofs are those of the API.
CREATE TABLE transfer (
    key             INTEGER PRIMARY KEY,
    id              TEXT NOT NULL UNIQUE,       -- sorts by time of creation
    state           TEXT NOT NULL,
    recipient       TEXT NOT NULL,              -- as asked for, prepared: bare or full
    recipient_bare  TEXT NOT NULL,
    resource        TEXT,
    sender          TEXT,
    name            TEXT NOT NULL,
    type            TEXT,
    size            INTEGER NOT NULL,
    received        INTEGER NOT NULL,
    sha256          TEXT NOT NULL,              -- empty: nobody asked
    caption         TEXT,
    methods         TEXT,
    request_id      TEXT,
    sent            INTEGER NOT NULL,
    method          TEXT NOT NULL,
    path            TEXT NOT NULL,
    streamhost      TEXT,
    proof           TEXT,
    round           INTEGER NOT NULL,
    max_rounds      INTEGER NOT NULL,
    next_attempt_at INTEGER NOT NULL,
    error_stage     TEXT NOT NULL,
    error_code      TEXT NOT NULL,
    error_text      TEXT NOT NULL,
    created         INTEGER NOT NULL,
    updated         INTEGER NOT NULL,
    finished        INTEGER NOT NULL,
    expires         INTEGER NOT NULL,
    steps_dropped   INTEGER NOT NULL
) STRICT;

-- Lists are sorted by id.
CREATE INDEX transfer_by_recipient ON transfer (recipient_bare, id);
CREATE INDEX transfer_by_state ON transfer (state, id);
CREATE INDEX transfer_by_created ON transfer (created);
CREATE INDEX transfer_by_finished ON transfer (finished) WHERE finished > 0;

CREATE TABLE step (
    transfer  INTEGER NOT NULL REFERENCES transfer (key) ON DELETE CASCADE,
    seq       INTEGER NOT NULL,
    at        INTEGER NOT NULL,
    direction TEXT NOT NULL,
    name      TEXT NOT NULL,
    outcome   TEXT NOT NULL,
    detail    TEXT NOT NULL,
    PRIMARY KEY (transfer, seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE attempt (
    transfer   INTEGER NOT NULL REFERENCES transfer (key) ON DELETE CASCADE,
    seq        INTEGER NOT NULL,
    round      INTEGER NOT NULL,
    started    INTEGER NOT NULL,
    ended      INTEGER NOT NULL,
    method     TEXT NOT NULL,
    recipient  TEXT NOT NULL,
    stage      TEXT NOT NULL,
    error_code TEXT NOT NULL,
    error_text TEXT NOT NULL,
    PRIMARY KEY (transfer, seq)
) STRICT, WITHOUT ROWID;
