-- Files that were sent to us. Its bytes lie in the spool under its id, once it is received.
CREATE TABLE inbox (
    id             TEXT NOT NULL PRIMARY KEY,
    state          TEXT NOT NULL,
    sender         TEXT NOT NULL, -- the full JID
    sender_bare    TEXT NOT NULL,
    recipient      TEXT NOT NULL, -- the address of ours, bare
    name           TEXT NOT NULL,
    type           TEXT NOT NULL,
    caption        TEXT,
    size           INTEGER NOT NULL, -- -1: not known
    received       INTEGER NOT NULL,
    sha256         TEXT,
    hash_confirmed INTEGER NOT NULL,
    method         TEXT NOT NULL,
    path           TEXT NOT NULL,
    streamhost     TEXT,
    created        INTEGER NOT NULL,
    updated        INTEGER NOT NULL,
    finished       INTEGER NOT NULL,
    expires        INTEGER NOT NULL, -- 0: not while it is being received
    kept           INTEGER NOT NULL,
    error_code     TEXT NOT NULL,
    error_text     TEXT
) WITHOUT ROWID;

CREATE INDEX inbox_by_sender ON inbox (sender_bare, id);
CREATE INDEX inbox_by_recipient ON inbox (recipient, id);
CREATE INDEX inbox_by_expiry ON inbox (expires) WHERE expires > 0;
