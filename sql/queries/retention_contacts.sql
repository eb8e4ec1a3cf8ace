-- A page of the contacts that ended long ago, longest first, from `ended_time` and `arrival` on. Removed are those that
-- nobody else is just removing, and of which the VC has every message.
WITH page AS (
    SELECT id, ended_time, arrival FROM contacts
    WHERE status IN ('ended', 'failed') AND ended_time < now() - %(days)s * interval '1 day'
      AND (ended_time, arrival) > (%(ended_time)s, %(arrival)s)
    ORDER BY ended_time, arrival LIMIT %(limit)s
), old AS (
    SELECT contacts.id FROM contacts JOIN page USING (id)
    -- A parked END_CHAT is never sent any more: it keeps nothing. Nor does a webhook, which holds all that it tells.
    WHERE NOT EXISTS (
        SELECT FROM outbox WHERE contact_id = contacts.id AND destination IS NULL
          AND state <> 'delivered' AND NOT (state = 'parked' AND kind = 'end_chat'))
    FOR UPDATE OF contacts SKIP LOCKED
), removed AS (
    DELETE FROM contacts USING old WHERE contacts.id = old.id RETURNING contacts.id
)
SELECT ended_time, arrival, (SELECT count(*) FROM removed) AS removed, (SELECT count(*) FROM page) = %(limit)s AS more
FROM page ORDER BY ended_time DESC, arrival DESC LIMIT 1
