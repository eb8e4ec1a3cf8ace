-- What a dialer without a lease held becomes ours; each row to one of those who ask.
UPDATE contacts SET owner = %(owner)s
WHERE id IN (
    SELECT id FROM contacts AS held
    WHERE held.status IN ('agent_pending', 'dialed') AND held.owner IS DISTINCT FROM %(owner)s
      AND NOT EXISTS (SELECT FROM dialers WHERE dialers.id = held.owner AND dialers.lease_until > now())
    LIMIT %(limit)s
    FOR UPDATE SKIP LOCKED)
  AND EXISTS (SELECT FROM dialers WHERE id = %(owner)s AND instance = %(instance)s AND lease_until > now())
RETURNING *, extract(epoch FROM now() - dial_time)::float8 AS dialed_ago
