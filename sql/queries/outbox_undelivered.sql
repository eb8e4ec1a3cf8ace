-- A page, by id, of what the VC, or the receiver of a webhook, does not have. First gathered from the small indexes of the undelivered: in the primary
-- key they lie scattered among all that was delivered, and a LIMIT there tempts PostgreSQL to look for them one by one.
WITH undelivered AS MATERIALIZED (
    SELECT id FROM outbox WHERE state = 'waiting' AND destination IS NULL AND 'waiting' = ANY(%(states)s)
    UNION ALL
    SELECT id FROM outbox WHERE state = 'waiting' AND destination IS NOT NULL AND 'waiting' = ANY(%(states)s)
    UNION ALL
    SELECT id FROM outbox WHERE state = 'parked' AND destination IS NULL AND 'parked' = ANY(%(states)s)
    UNION ALL
    SELECT id FROM outbox WHERE state = 'parked' AND destination IS NOT NULL AND 'parked' = ANY(%(states)s)
), page AS (
    SELECT id FROM undelivered WHERE id > %(after)s ORDER BY id LIMIT %(limit)s
)
SELECT outbox.*, contacts.campaign_id
FROM page JOIN outbox USING (id) LEFT JOIN contacts ON contacts.id = outbox.contact_id
ORDER BY id
