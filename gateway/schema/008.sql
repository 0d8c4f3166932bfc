-- Events on their way to webhooks. key is the order in which they happened. A pending one of a transfer is not due before
-- those of it that are older. finished is 0 while it is pending.
CREATE TABLE delivery (
    key         INTEGER PRIMARY KEY AUTOINCREMENT,
    id          TEXT NOT NULL UNIQUE,
    endpoint    TEXT NOT NULL,
    type        TEXT NOT NULL,
    transfer    TEXT NOT NULL,              -- its id; empty: of none
    state       TEXT NOT NULL,
    tried       INTEGER NOT NULL,
    status      INTEGER NOT NULL,
    reason      TEXT NOT NULL,
    created     INTEGER NOT NULL,
    due         INTEGER NOT NULL,
    finished    INTEGER NOT NULL,
    body        TEXT NOT NULL,
    request_id  TEXT,
    traceparent TEXT
) STRICT;

CREATE INDEX delivery_by_endpoint ON delivery (endpoint, key);
CREATE INDEX delivery_dead ON delivery (endpoint, key) WHERE state = 'dead';
CREATE INDEX delivery_by_due ON delivery (endpoint, due, key) WHERE state = 'pending';
CREATE INDEX delivery_by_transfer ON delivery (endpoint, transfer, key) WHERE state = 'pending';
CREATE INDEX delivery_by_created ON delivery (created) WHERE state = 'pending';
CREATE INDEX delivery_by_finished ON delivery (finished) WHERE finished > 0;
