-- An agent was reserved for a contact that no longer waits for one: END_CHAT, once for each agent of a taking, however
-- often the late reply is sent again. A later END_CHAT could end this customer's next chat.
WITH released AS (
    UPDATE contacts SET released_agent = %(agent)s
    WHERE id = %(id)s AND status NOT IN ('agent_pending', 'dialed') AND released_agent IS DISTINCT FROM %(agent)s
    RETURNING id, taking, customer_number, tenant_id
), noted AS (
    INSERT INTO contact_events (contact_id, taking, event, dialer, detail)
    SELECT id, taking, 'agent_released', %(owner)s, format('agent %%s came too late', %(agent)s) FROM released
)
INSERT INTO outbox (contact_id, kind, customer_number, tenant_id)
SELECT id, 'end_chat', customer_number, tenant_id FROM released
WHERE NOT EXISTS (
    SELECT FROM outbox WHERE contact_id = %(id)s AND kind = 'end_chat' AND state = 'waiting')
RETURNING id
