-- Waiting for a recipient to come online: until when, and whether the permission to see that may be asked for (0, 1).
ALTER TABLE transfer ADD COLUMN hold_until INTEGER NOT NULL DEFAULT 0;
ALTER TABLE transfer ADD COLUMN subscribe INTEGER NOT NULL DEFAULT 0;
