-- The contacts that selection.allocate() chose: so many of each campaign, FIFO, campaign by campaign.
SELECT chosen.*
FROM unnest(%(campaigns)s::text[], %(counts)s::integer[]) WITH ORDINALITY AS share (campaign_id, contacts, place)
CROSS JOIN LATERAL (
    SELECT * FROM eligible
    WHERE eligible.campaign_id = share.campaign_id AND campaign_type = ANY(%(types)s) AND gateway_id <> ALL(%(avoid)s::text[])
    ORDER BY received_time, arrival LIMIT share.contacts
) AS chosen
ORDER BY share.place, chosen.received_time, chosen.arrival
