-- What a dialer without a lease held becomes ours; each row to one of those who ask.
-- The living are an array, not a join: when a row was changed since the statement began, PostgreSQL looks again at the
-- conditions on the row itself, but does not join again, and so would take from whoever has just taken over.
WITH held AS (
    SELECT id, owner FROM contacts AS held
    WHERE held.status IN ('agent_pending', 'dialed') AND held.owner IS DISTINCT FROM %(owner)s
      AND COALESCE(held.owner <> ALL (ARRAY(SELECT dialers.id FROM dialers WHERE lease_until > now())), true)
    LIMIT %(limit)s
    FOR UPDATE SKIP LOCKED
), taken AS (
    UPDATE contacts SET owner = %(owner)s
    FROM held
    WHERE contacts.id = held.id
      AND EXISTS (SELECT FROM dialers WHERE id = %(owner)s AND instance = %(instance)s AND lease_until > now())
    RETURNING contacts.*, held.owner AS held_by
), noted AS (
    INSERT INTO contact_events (contact_id, taking, event, dialer, detail)
    SELECT id, taking, 'taken_over', %(owner)s, format('from %%s', COALESCE(held_by, 'nobody')) FROM taken
)
SELECT *, extract(epoch FROM now() - dial_time)::float8 AS dialed_ago FROM taken
