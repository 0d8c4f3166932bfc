-- The header traceparent of the request that a transfer was made by; NULL: it had none.
ALTER TABLE transfer ADD COLUMN traceparent TEXT;
