-- labels: lines of name:value, sorted by name, each with a line feed before and behind it; NULL when there are none.
ALTER TABLE transfer ADD COLUMN labels TEXT;

-- The call that made this transfer together with others; NULL when it was the only one.
ALTER TABLE transfer ADD COLUMN batch TEXT;

-- Its place among them, from 0.
ALTER TABLE transfer ADD COLUMN batch_place INTEGER NOT NULL DEFAULT 0;

CREATE INDEX transfer_by_batch ON transfer (batch, id) WHERE batch IS NOT NULL;
