-- The id of the token that a transfer was made with; NULL when none was asked for.
ALTER TABLE transfer ADD COLUMN token TEXT;

CREATE INDEX transfer_by_token ON transfer (token, id) WHERE token IS NOT NULL;
