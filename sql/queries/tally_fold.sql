-- Changes become sums. Only under the lock of tally_turn.sql, taken by a statement before this one, so that this one
-- sees all that the one who held it last has written.
WITH moved AS (
    -- So many at a time, however many have come together: one that takes too long would never end.
    DELETE FROM tally_changes WHERE ctid = ANY(ARRAY(SELECT ctid FROM tally_changes LIMIT %(most)s)) RETURNING *
), summed AS (
    SELECT status, campaign_id, campaign_type, owner, call_result, lane, gateway_id, opens,
           sum(contacts) AS contacts, min(oldest) AS oldest, min(oldest_arrival) AS oldest_arrival
    FROM moved GROUP BY status, campaign_id, campaign_type, owner, call_result, lane, gateway_id, opens
), bounded AS (
    SELECT summed.*, LEAST(summed.oldest, tally.oldest) AS since, LEAST(summed.oldest_arrival, tally.oldest_arrival) AS place
    FROM summed LEFT JOIN tally USING (status, campaign_id, campaign_type, owner, call_result, lane)
), headed AS (
    -- Whoever comes back older than this head brings a change that says so.
    SELECT bounded.*, COALESCE(head.received_time, since) AS head, COALESCE(head.arrival, place) AS head_arrival
    FROM bounded LEFT JOIN LATERAL (
        SELECT received_time, arrival FROM contacts
        WHERE bounded.status = 'pending' AND contacts.status = 'pending' AND contacts.lane = bounded.lane
          AND (received_time, arrival) >= (since, place)
        ORDER BY received_time, arrival LIMIT 1
    ) AS head ON true
), folded AS (
    INSERT INTO tally AS kept
        SELECT status, campaign_id, campaign_type, owner, call_result, lane, gateway_id, opens, contacts, head, head_arrival
        FROM headed
    ON CONFLICT (status, campaign_id, campaign_type, owner, call_result, lane) DO UPDATE SET
        contacts = kept.contacts + EXCLUDED.contacts,
        oldest = EXCLUDED.oldest,
        oldest_arrival = EXCLUDED.oldest_arrival
)
SELECT count(*) AS changes FROM moved
