-- A link that was sent, and whether it was fetched. Of our own links only the SHA-256 of the secret is kept, so that
-- whoever reads this database has no link.
ALTER TABLE transfer ADD COLUMN link_at TEXT;
ALTER TABLE transfer ADD COLUMN link_digest TEXT;
ALTER TABLE transfer ADD COLUMN link_expires INTEGER NOT NULL DEFAULT 0;
ALTER TABLE transfer ADD COLUMN link_fetched INTEGER NOT NULL DEFAULT 0;

CREATE INDEX transfer_by_link ON transfer (link_digest) WHERE link_digest IS NOT NULL;
CREATE INDEX transfer_by_link_expires ON transfer (link_expires) WHERE link_expires > 0;
