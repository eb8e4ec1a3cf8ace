-- The active contacts of one dialer, and how long ago each was sent, by the database's clock.
SELECT *, extract(epoch FROM now() - dial_time)::float8 AS dialed_ago FROM contacts
WHERE owner = %(owner)s AND status IN ('agent_pending', 'dialed')
