-- Stores the posted contacts that are not there yet, in the order they were posted.
INSERT INTO contacts (
    id, customer_number, campaign_type, gateway_id, campaign_id,
    campaign_contact_id, start_time, end_time, priority, ivr,
    dialing_mode, routing_mode, resource_id, queue_name, tenant_id,
    scheduling_metadata)
SELECT id, customer_number, campaign_type, gateway_id, campaign_id,
    campaign_contact_id, start_time, end_time, priority, ivr,
    dialing_mode, routing_mode, resource_id, queue_name, tenant_id,
    scheduling_metadata
FROM json_populate_recordset(NULL::contacts, %(contacts)s::json) WITH ORDINALITY AS posted
ORDER BY ordinality
ON CONFLICT (id) DO NOTHING
RETURNING id
