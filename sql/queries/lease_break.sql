-- The name is locked by a session whose lease has run out: of a dialer that hangs, or that the network has cut off and
-- that PostgreSQL has not noticed yet. Its session is ended, so that the name is free.
SELECT pg_terminate_backend(pid) FROM pg_locks
WHERE locktype = 'advisory' AND granted AND objsubid = 1
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND (classid::bigint << 32) | objid::bigint = hashtextextended('dialer ' || %(owner)s, 0)
  AND pid <> pg_backend_pid()
  AND EXISTS (SELECT FROM dialers WHERE id = %(owner)s AND lease_until < now())
