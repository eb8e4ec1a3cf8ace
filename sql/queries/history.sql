-- What is known to have happened to a contact, oldest first, the last %(limit)s lines of it; what its messages and its
-- campaign went through too.
WITH known AS (
    SELECT received_time, campaign_id FROM contacts WHERE id = %(id)s
)
SELECT at, event, taking, dialer, detail FROM (SELECT * FROM (
    SELECT 1 AS place, received_time AS at, 'received' AS event, NULL::integer AS taking, NULL AS dialer,
           format('for campaign %%s', campaign_id) AS detail
    FROM known
    UNION ALL
    SELECT 2, at, event, taking, dialer, detail FROM contact_events WHERE contact_id = %(id)s
    UNION ALL
    SELECT 3, campaign_controls.at, 'campaign_' || control, NULL, dialer, format('%%s contacts', contacts)
    FROM known JOIN campaign_controls USING (campaign_id) WHERE campaign_controls.at >= known.received_time
    UNION ALL
    -- The VC has it: at that time; it does not have it yet: since it was written.
    SELECT 4, COALESCE(delivered_time, created_time),
           kind || CASE state WHEN 'waiting' THEN '_waiting' WHEN 'parked' THEN '_parked' ELSE '_delivered' END,
           NULL, NULL, concat_ws(', ', call_result, event || ' to ' || destination, attempts || ' tries', last_error)
    FROM outbox WHERE contact_id = %(id)s
) AS happened ORDER BY at DESC, place DESC LIMIT %(limit)s) AS latest
ORDER BY at, place
