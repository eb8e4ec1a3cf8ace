-- What selection needs to know: the campaigns with an eligible contact, the first so many in the order in which slots
-- are shared out, and how many there are in all. `oldest` may be too old: no eligible contact is older.
WITH lanes AS (
    SELECT lane, campaign_id, sum(contacts) AS contacts, min(oldest) AS oldest, min(oldest_arrival) AS oldest_arrival
    FROM tally_now
    WHERE status = 'pending' AND campaign_type = ANY(%(types)s) AND gateway_id <> ALL(%(avoid)s::text[])
      AND opens <= (SELECT quarter_of(now()))
    GROUP BY lane, campaign_id
), barred AS (
    -- The conditions of the view `eligible` that a tally cannot know; each contact once.
    SELECT lane, count(*) AS contacts FROM (
        SELECT id, lane FROM contacts WHERE status = 'pending' AND hold_until > now()
        UNION
        SELECT id, lane FROM contacts WHERE status = 'pending' AND end_time < now()
        UNION
        SELECT id, lane FROM contacts
        WHERE status = 'pending' AND start_time > now()
          AND start_time < timestamptz '1970-01-01 00:00:00+00' + (quarter_of(now()) + 1) * interval '15 minutes'
        UNION
        -- One look for each number: there are few, but PostgreSQL does not know that.
        SELECT id, lane
        FROM unnest(ARRAY(SELECT customer_number FROM outbox WHERE kind = 'end_chat' AND state = 'waiting')) AS number
        CROSS JOIN LATERAL (
            SELECT id, lane FROM contacts WHERE status = 'pending' AND customer_number = number OFFSET 0) AS chatting
    ) AS each GROUP BY lane
), campaigns AS (
    SELECT campaign_id, sum(lanes.contacts - COALESCE(barred.contacts, 0))::bigint AS eligible,
           min(oldest) AS oldest, min(oldest_arrival) AS oldest_arrival
    FROM lanes LEFT JOIN barred USING (lane)
    WHERE lanes.contacts > COALESCE(barred.contacts, 0)
    GROUP BY campaign_id
), active AS (
    SELECT campaign_id FROM tally_now WHERE status IN ('agent_pending', 'dialed')
    GROUP BY campaign_id HAVING sum(contacts) > 0
), sized AS (
    SELECT campaigns.*, active.campaign_id IS NOT NULL AS busy, count(*) OVER () AS campaigns
    FROM campaigns LEFT JOIN active USING (campaign_id)
)
SELECT campaign_id, eligible, oldest, oldest_arrival, busy, campaigns FROM sized
ORDER BY CASE WHEN %(early)s AND %(capacity)s > campaigns THEN busy END,
         CASE WHEN %(early)s AND %(capacity)s > campaigns OR %(slots)s > campaigns THEN eligible END,
         oldest,
         CASE WHEN NOT (%(early)s AND %(capacity)s > campaigns OR %(slots)s > campaigns) THEN oldest_arrival END,
         campaign_id COLLATE "C"
LIMIT %(limit)s
