-- +prepared
-- What selection needs to know: how many slots are free; the campaigns with an eligible contact, so many times twice as
-- many as that and some to spare, in the order in which slots are shared out, none when no slot is free; and how many
-- there are in all. `oldest` may be too old: no eligible contact is older. `busy` is told to early cycles only.
WITH free AS (
    SELECT %(slots)s::bigint - COALESCE(sum(contacts), 0)::bigint AS slots FROM tally_now
    WHERE status IN ('agent_pending', 'dialed') AND owner = %(owner)s::text
), barred AS (
    -- The conditions of the view `eligible` that a tally cannot know, and what is to be skipped; each contact once.
    SELECT id, lane, campaign_id FROM contacts WHERE status = 'pending' AND hold_until > now()
    UNION
    SELECT id, lane, campaign_id FROM contacts WHERE status = 'pending' AND end_time < now()
    UNION
    SELECT id, lane, campaign_id FROM contacts
    WHERE status = 'pending' AND start_time > now()
      AND start_time < timestamptz '1970-01-01 00:00:00+00' + (quarter_of(now()) + 1) * interval '15 minutes'
    UNION
    SELECT id, lane, campaign_id FROM contacts WHERE status = 'pending' AND id = ANY(%(skip)s::text[])
    UNION
    -- One look for each number: there are few, but PostgreSQL does not know that.
    SELECT id, lane, campaign_id
    FROM unnest(ARRAY(SELECT customer_number FROM outbox WHERE kind = 'end_chat' AND state = 'waiting')) AS number
    CROSS JOIN LATERAL (
        SELECT id, lane, campaign_id FROM contacts WHERE status = 'pending' AND customer_number = number OFFSET 0
    ) AS chatting
), counted AS (
    SELECT campaign_id, lane, false AS active, contacts, oldest, oldest_arrival FROM tally_now
    WHERE status = 'pending' AND campaign_type = ANY(%(types)s::text[]) AND gateway_id <> ALL(%(avoid)s::text[])
      AND opens <= (SELECT quarter_of(now()))
    UNION ALL
    SELECT campaign_id, lane, false, -1, NULL, NULL FROM barred
    UNION ALL
    SELECT campaign_id, lane, true, contacts, NULL, NULL FROM tally_now
    WHERE %(early)s::boolean AND status IN ('agent_pending', 'dialed')
), lanes AS (
    -- Of a lane that was not asked for only what is barred is here: less than nothing.
    SELECT campaign_id, active, sum(contacts)::integer AS contacts, min(oldest) AS oldest,
           min(oldest_arrival) AS oldest_arrival
    FROM counted GROUP BY lane, active, campaign_id HAVING sum(contacts) > 0
), campaigns AS (
    SELECT campaign_id, sum(contacts) FILTER (WHERE NOT active) AS eligible, min(oldest) AS oldest,
           min(oldest_arrival) AS oldest_arrival, bool_or(active) AS busy
    FROM lanes GROUP BY campaign_id HAVING NOT bool_and(active)
), sized AS (
    SELECT *, count(*) OVER () AS campaigns, (SELECT slots FROM free) AS slots FROM campaigns
)
SELECT campaign_id, eligible, oldest, oldest_arrival, busy, campaigns, slots FROM sized
ORDER BY CASE WHEN %(early)s AND %(capacity)s::bigint > campaigns THEN busy END,
         CASE WHEN %(early)s AND %(capacity)s > campaigns OR slots > campaigns THEN eligible END,
         oldest,
         CASE WHEN NOT (%(early)s AND %(capacity)s > campaigns OR slots > campaigns) THEN oldest_arrival END,
         campaign_id COLLATE "C"
LIMIT (SELECT CASE WHEN slots > 0 THEN %(times)s::bigint * (2 * slots + %(spare)s::bigint) ELSE 0 END FROM free)
