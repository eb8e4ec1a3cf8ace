-- No statement of its own: part of each that changes a contact's state, in place of its line "-- +webhooks", when there
-- is somebody to tell. `announced` is what happened to whom, with the contact as it is then.
, webhooks AS (
    INSERT INTO outbox (contact_id, kind, customer_number, tenant_id, event, destination, url, payload)
    SELECT id, 'webhook', customer_number, tenant_id, event, told.destination, told.url, json_build_object(
        'at', at, 'dialer', %(owner)s::text,
        'id', id, 'customer_number', customer_number, 'campaign_type', campaign_type, 'campaign_id', campaign_id,
        'campaign_contact_id', campaign_contact_id, 'gateway_id', gateway_id, 'tenant_id', tenant_id,
        'start_time', start_time, 'end_time', end_time, 'priority', priority, 'ivr', ivr,
        'dialing_mode', dialing_mode, 'routing_mode', routing_mode, 'resource_id', resource_id,
        'queue_name', queue_name, 'scheduling_metadata', scheduling_metadata,
        'taking', taking, 'switch', switch, 'agent', NULLIF(agent, ''), 'bridged', bridged,
        'received_time', received_time, 'dial_time', dial_time, 'answered_time', answered_time,
        -- An answer may be told together with the end, but before it: as it was then.
        'status', CASE event WHEN 'answered' THEN 'dialed' ELSE status END,
        'ended_time', CASE WHEN event <> 'answered' THEN ended_time END,
        'call_result', CASE WHEN event <> 'answered' THEN call_result END)
    FROM announced CROSS JOIN LATERAL (
        SELECT 'RESULT_WEBHOOK_URL', NULL WHERE %(result_webhook)s::boolean
        UNION ALL
        SELECT * FROM call_events_webhook(scheduling_metadata) AS own
        WHERE %(webhook_hosts)s::text[] <> '{}' AND own.destination = ANY (%(webhook_hosts)s::text[])
    ) AS told (destination, url)
    ORDER BY place
)
