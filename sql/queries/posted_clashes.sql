-- The posted contacts whose id is stored with other content.
SELECT posted.ordinality - 1 AS index, posted.id
FROM json_populate_recordset(NULL::contacts, %(contacts)s::json) WITH ORDINALITY AS posted
JOIN contacts AS stored USING (id)
WHERE (posted.customer_number, posted.campaign_type, posted.gateway_id, posted.campaign_id,
       posted.campaign_contact_id, posted.start_time, posted.end_time, posted.priority, posted.ivr,
       posted.dialing_mode, posted.routing_mode, posted.resource_id, posted.queue_name, posted.tenant_id,
       posted.scheduling_metadata)
    IS DISTINCT FROM
      (stored.customer_number, stored.campaign_type, stored.gateway_id, stored.campaign_id,
       stored.campaign_contact_id, stored.start_time, stored.end_time, stored.priority, stored.ivr,
       stored.dialing_mode, stored.routing_mode, stored.resource_id, stored.queue_name, stored.tenant_id,
       stored.scheduling_metadata)
ORDER BY posted.ordinality
