-- What becomes of the bytes of an upload, and how it went itself.
ALTER TABLE transfer ADD COLUMN mode TEXT NOT NULL DEFAULT 'spool';
ALTER TABLE transfer ADD COLUMN upload TEXT NOT NULL DEFAULT 'complete';
