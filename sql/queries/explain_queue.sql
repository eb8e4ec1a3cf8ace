-- What waits, and what keeps it from being taken now, of one campaign or of all, by type and gateway. It is counted as in
-- queues.sql: from the tally, less what depends on the moment. Each contact counts once, for the first reason it has.
WITH lanes AS (
    SELECT lane, campaign_type, gateway_id, opens, sum(contacts) AS contacts FROM tally_now
    WHERE status = 'pending' AND (%(campaign_id)s::text IS NULL OR campaign_id = %(campaign_id)s)
    GROUP BY lane, campaign_type, gateway_id, opens HAVING sum(contacts) > 0
), barred AS (
    SELECT DISTINCT ON (id) id, lane, why, moment FROM (
        SELECT id, lane, campaign_id, 1 AS place, 'expired' AS why, end_time AS moment
        FROM contacts WHERE status = 'pending' AND end_time < now()
        UNION ALL
        SELECT id, lane, campaign_id, 2, 'opening', start_time
        FROM contacts
        WHERE status = 'pending' AND start_time > now()
          AND start_time < timestamptz '1970-01-01 00:00:00+00' + (quarter_of(now()) + 1) * interval '15 minutes'
        UNION ALL
        SELECT id, lane, campaign_id, 3, 'held', hold_until FROM contacts WHERE status = 'pending' AND hold_until > now()
        UNION ALL
        SELECT id, lane, campaign_id, 4, 'chatting', since
        FROM (
            SELECT customer_number AS number, min(created_time) AS since FROM outbox
            WHERE kind = 'end_chat' AND state = 'waiting' GROUP BY customer_number
        ) AS chats
        CROSS JOIN LATERAL (
            SELECT id, lane, campaign_id FROM contacts
            WHERE status = 'pending' AND customer_number = number OFFSET 0) AS chatting
    ) AS each
    WHERE %(campaign_id)s::text IS NULL OR campaign_id = %(campaign_id)s
    ORDER BY id, place
), later AS (
    SELECT * FROM lanes WHERE opens > (SELECT quarter_of(now()))
), first_opening AS (
    -- Of all campaigns the index tells it. Of one, its first lane does; of a lane with very many contacts only its oldest
    -- are looked at, and as all of them open in the same quarter of an hour, that is near enough.
    SELECT CASE WHEN %(campaign_id)s::text IS NULL THEN (
        SELECT min(start_time) FROM contacts
        WHERE status = 'pending'
          AND start_time >= timestamptz '1970-01-01 00:00:00+00' + (quarter_of(now()) + 1) * interval '15 minutes'
    ) ELSE (
        SELECT min(start_time) FROM later CROSS JOIN LATERAL (
            SELECT start_time FROM contacts WHERE status = 'pending' AND contacts.lane = later.lane
            ORDER BY received_time, arrival LIMIT %(looked_at)s) AS oldest
        WHERE opens = (SELECT min(opens) FROM later)
    ) END AS moment
)
SELECT campaign_type, gateway_id, why, sum(contacts)::bigint AS contacts, min(moment) AS first FROM (
    SELECT campaign_type, gateway_id, 'open' AS why, contacts, NULL::timestamptz AS moment FROM lanes
    WHERE opens <= (SELECT quarter_of(now()))
    UNION ALL
    SELECT campaign_type, gateway_id, 'open', -1, NULL FROM barred JOIN lanes USING (lane)
    WHERE opens <= (SELECT quarter_of(now()))
    UNION ALL
    SELECT campaign_type, gateway_id, why, 1, moment FROM barred JOIN lanes USING (lane)
    WHERE opens <= (SELECT quarter_of(now()))
    UNION ALL
    SELECT campaign_type, gateway_id, 'opening', contacts, first_opening.moment FROM later CROSS JOIN first_opening
) AS waiting
GROUP BY campaign_type, gateway_id, why HAVING sum(contacts) > 0
ORDER BY contacts DESC, campaign_type, gateway_id, why
