-- A page of the outbox, from `id` on, which is the order of its creation but for what was committed at the same moment.
-- Removed are messages delivered long ago, and END_CHATs parked long ago, which are never sent any more; and webhooks of
-- that age whoever lacks them, since a receiver may be gone for good. The page after one with a younger message holds none.
WITH page AS (
    SELECT id, created_time FROM outbox WHERE id > %(id)s ORDER BY id LIMIT %(limit)s
), old AS (
    SELECT outbox.id FROM outbox JOIN page USING (id)
    WHERE (state = 'delivered' AND delivered_time < now() - %(days)s * interval '1 day')
       OR (state = 'parked' AND kind = 'end_chat' AND outbox.created_time < now() - %(days)s * interval '1 day')
       OR (destination IS NOT NULL AND outbox.created_time < now() - %(days)s * interval '1 day')
    FOR UPDATE OF outbox SKIP LOCKED
), removed AS (
    DELETE FROM outbox USING old WHERE outbox.id = old.id RETURNING outbox.id
)
SELECT max(id) AS id, (SELECT count(*) FROM removed) AS removed,
       count(*) = %(limit)s AND bool_and(created_time < now() - %(days)s * interval '1 day') AS more
FROM page HAVING count(*) > 0
