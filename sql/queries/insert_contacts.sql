-- +prepared
-- Stores the posted contacts that are not there yet. They arrive in the order they were posted, but are inserted in that
-- of their ids: the same contacts posted at once in several orders would wait for each other for ever.
INSERT INTO contacts (
    arrival, id, customer_number, campaign_type, gateway_id, campaign_id,
    campaign_contact_id, start_time, end_time, priority, ivr,
    dialing_mode, routing_mode, resource_id, queue_name, tenant_id,
    scheduling_metadata)
SELECT arrival, id, customer_number, campaign_type, gateway_id, campaign_id,
    campaign_contact_id, start_time, end_time, priority, ivr,
    dialing_mode, routing_mode, resource_id, queue_name, tenant_id,
    scheduling_metadata
FROM (
    SELECT nextval(pg_get_serial_sequence('contacts', 'arrival')) AS arrival, id, customer_number, campaign_type,
        gateway_id, campaign_id, campaign_contact_id, start_time, end_time, priority, ivr,
        dialing_mode, routing_mode, resource_id, queue_name, tenant_id,
        scheduling_metadata
    FROM (
        SELECT * FROM json_populate_recordset(NULL::contacts, %(contacts)s::json) WITH ORDINALITY AS posted
        ORDER BY ordinality) AS posted) AS arrived
ORDER BY id, arrival
ON CONFLICT (id) DO NOTHING
RETURNING id
