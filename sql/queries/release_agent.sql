-- An agent was reserved for a contact that no longer waits for one: END_CHAT, once while one is under way.
INSERT INTO outbox (contact_id, kind, customer_number, tenant_id)
SELECT id, 'end_chat', customer_number, tenant_id FROM contacts
WHERE id = %(id)s AND status NOT IN ('agent_pending', 'dialed')
  AND NOT EXISTS (
      SELECT FROM outbox WHERE contact_id = %(id)s AND kind = 'end_chat' AND state = 'waiting')
RETURNING id
