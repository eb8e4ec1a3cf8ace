-- The first so many contacts of each of these campaigns: FIFO, campaign by campaign.
WITH lanes AS (
    SELECT lane, campaign_id, share.contacts, place, min(oldest) AS oldest, min(oldest_arrival) AS oldest_arrival
    FROM unnest(%(campaigns)s::text[], %(counts)s::integer[]) WITH ORDINALITY AS share (campaign_id, contacts, place)
    JOIN tally_now USING (campaign_id)
    WHERE status = 'pending' AND campaign_type = ANY(%(types)s) AND gateway_id <> ALL(%(avoid)s::text[])
      AND opens <= (SELECT quarter_of(now()))
    GROUP BY lane, campaign_id, share.contacts, place HAVING sum(tally_now.contacts) > 0
), heads AS (
    SELECT head.id, place, contacts,
           row_number() OVER (PARTITION BY place ORDER BY head.received_time, head.arrival) AS nth
    FROM lanes CROSS JOIN LATERAL (
        -- What is older than `oldest` has been taken: its traces in the index are not even looked at. The campaign is
        -- compared since two lanes might have the same hash, and so that no other index is thought of.
        SELECT id, received_time, arrival FROM eligible
        WHERE eligible.lane = lanes.lane AND eligible.campaign_id || '' = lanes.campaign_id
          AND (received_time, arrival) >= (lanes.oldest, lanes.oldest_arrival) AND id <> ALL(%(skip)s::text[])
        ORDER BY received_time, arrival LIMIT lanes.contacts
    ) AS head
)
SELECT contacts.* FROM heads JOIN contacts USING (id) WHERE nth <= heads.contacts ORDER BY place, nth
