-- Which transfer a request with an Idempotency-Key has made; key is whatever the caller chose. print is the SHA-256 of
-- what the request was, so that another one by the same key is told from a repeated one.
CREATE TABLE idempotency (
    caller   TEXT NOT NULL,
    key      TEXT NOT NULL,
    print    BLOB NOT NULL,
    transfer TEXT NOT NULL REFERENCES transfer (id) ON DELETE CASCADE,
    used     INTEGER NOT NULL,
    PRIMARY KEY (caller, key)
) STRICT, WITHOUT ROWID;

CREATE INDEX idempotency_by_transfer ON idempotency (transfer);
CREATE INDEX idempotency_by_used ON idempotency (used);
