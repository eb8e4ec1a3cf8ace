-- What selection.allocate() needs to know: a row for each campaign with an eligible contact.
WITH waiting AS (
    SELECT campaign_id, count(*) AS contacts FROM eligible
    WHERE campaign_type = ANY(%(types)s) AND gateway_id <> ALL(%(avoid)s::text[]) GROUP BY campaign_id
)
SELECT waiting.campaign_id, waiting.contacts AS eligible,
       head.received_time AS oldest, head.arrival AS oldest_arrival,
       EXISTS (SELECT FROM contacts WHERE contacts.campaign_id = waiting.campaign_id
               AND status IN ('agent_pending', 'dialed')) AS busy
FROM waiting CROSS JOIN LATERAL (
    SELECT received_time, arrival FROM eligible
    WHERE eligible.campaign_id = waiting.campaign_id AND campaign_type = ANY(%(types)s) AND gateway_id <> ALL(%(avoid)s::text[])
    ORDER BY received_time, arrival LIMIT 1
) AS head
