-- +prepared
-- The first so many contacts of each of these campaigns: FIFO, campaign by campaign.
WITH lanes AS (
    SELECT lane, campaign_id, share.contacts, place, min(oldest) AS oldest, min(oldest_arrival) AS oldest_arrival
    FROM unnest(%(campaigns)s::text[], %(counts)s::integer[]) WITH ORDINALITY AS share (campaign_id, contacts, place)
    CROSS JOIN LATERAL (
        SELECT lane, contacts, oldest, oldest_arrival FROM tally_now
        WHERE status = 'pending' AND tally_now.campaign_id = share.campaign_id
          AND campaign_type = ANY(%(types)s::text[]) AND gateway_id <> ALL(%(avoid)s::text[])
          AND opens <= (SELECT quarter_of(now())) OFFSET 0
    ) AS counted
    GROUP BY lane, campaign_id, share.contacts, place HAVING sum(counted.contacts) > 0
), heads AS (
    SELECT head.*, place, lanes.contacts AS wanted,
           row_number() OVER (PARTITION BY place ORDER BY received_time, arrival) AS nth
    FROM lanes CROSS JOIN LATERAL (
        -- What is older than `oldest` has been taken: its traces in the index are not even looked at. The campaign is
        -- compared since two lanes might have the same hash, and so that no other index is thought of.
        SELECT * FROM eligible
        WHERE eligible.lane = lanes.lane AND eligible.campaign_id || '' = lanes.campaign_id
          AND (received_time, arrival) >= (lanes.oldest, lanes.oldest_arrival) AND id <> ALL(%(skip)s::text[])
        ORDER BY received_time, arrival LIMIT lanes.contacts
    ) AS head
)
-- The fields of `dialer.contact.Contact`.
SELECT id, customer_number, campaign_type, gateway_id, campaign_id, campaign_contact_id, start_time, end_time, priority,
       ivr, dialing_mode, routing_mode, resource_id, queue_name, tenant_id, scheduling_metadata, status, call_result,
       received_time, dial_time, ended_time, arrival, taking, owner, switch, agent, bridged
FROM heads WHERE nth <= wanted ORDER BY place, nth
