ALTER TABLE liveness ADD COLUMN heard_until INTEGER; -- NULL: alive_at is the latest moment there was
