-- labels: lines of name:value, sorted by name, each with a line feed before and behind it; NULL when there are none.
ALTER TABLE transfer ADD COLUMN labels TEXT;

-- The call that made this transfer together with others; NULL when it was the only one.
ALTER TABLE transfer ADD COLUMN batch TEXT;

CREATE INDEX transfer_by_batch ON transfer (batch, id) WHERE batch IS NOT NULL;
