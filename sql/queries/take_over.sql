-- What a dialer without a lease held becomes ours; each row to one of those who ask.
-- The living are an array, not a join: when a row was changed since the statement began, PostgreSQL looks again at the
-- conditions on the row itself, but does not join again, and so would take from whoever has just taken over.
UPDATE contacts SET owner = %(owner)s
WHERE id IN (
    SELECT id FROM contacts AS held
    WHERE held.status IN ('agent_pending', 'dialed') AND held.owner IS DISTINCT FROM %(owner)s
      AND COALESCE(held.owner <> ALL (ARRAY(SELECT dialers.id FROM dialers WHERE lease_until > now())), true)
    LIMIT %(limit)s
    FOR UPDATE SKIP LOCKED)
  AND EXISTS (SELECT FROM dialers WHERE id = %(owner)s AND instance = %(instance)s AND lease_until > now())
RETURNING *, extract(epoch FROM now() - dial_time)::float8 AS dialed_ago
