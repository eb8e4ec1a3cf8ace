-- Back to pending, each from the state and the taking that it names; stopped, or removed, when its campaign was
-- stopped or purged meanwhile. Not eligible again for a while, so that nothing spins. Locked rows as in finish.sql.
WITH asked AS (
    SELECT * FROM unnest(
        %(ids)s::text[], %(takings)s::integer[], %(from_statuses)s::text[],
        %(end_chats)s::boolean[], %(agents)s::text[], %(reasons)s::text[])
        AS asked (id, taking, from_status, end_chat, agent, reason)
), found AS (
    SELECT asked.* FROM asked JOIN contacts
        ON contacts.id = asked.id AND contacts.taking = asked.taking AND contacts.status = asked.from_status
), held AS (
    -- Locked before on_return is read: a purge that is just being committed must be seen by one of the two below.
    SELECT contacts.id, on_return, found.end_chat, found.agent, found.reason
    FROM contacts JOIN found
        ON contacts.id = found.id AND contacts.taking = found.taking AND contacts.status = found.from_status
    FOR UPDATE OF contacts SKIP LOCKED
), removed AS (
    DELETE FROM contacts USING held
    WHERE contacts.id = held.id AND held.on_return = 'purge'
    RETURNING contacts.id, contacts.taking, 'removed'::text AS status, customer_number, tenant_id, end_chat, reason
), returned AS (
    UPDATE contacts SET
        status = CASE held.on_return WHEN 'stop' THEN 'stopped' ELSE 'pending' END,
        agent = COALESCE(held.agent, contacts.agent),
        owner = NULL,
        switch = NULL,
        dial_time = NULL,
        agent_time = NULL,
        bridged = false,
        on_return = NULL,
        hold_until = now() + %(hold)s * interval '1 second'
    FROM held
    WHERE contacts.id = held.id AND held.on_return IS DISTINCT FROM 'purge'
    RETURNING contacts.id, contacts.taking, contacts.status::text, customer_number, tenant_id, end_chat, reason
), changed AS (
    SELECT * FROM removed UNION ALL SELECT * FROM returned
), told AS (
    INSERT INTO outbox (contact_id, kind, customer_number, tenant_id)
    SELECT id, 'end_chat', customer_number, tenant_id FROM changed WHERE end_chat
), noted AS (
    INSERT INTO contact_events (contact_id, taking, event, dialer, detail)
    SELECT id, taking, CASE status WHEN 'pending' THEN 'returned' ELSE status END, %(owner)s, reason FROM changed
)
SELECT id, taking, status FROM changed
UNION ALL
SELECT id, taking, 'locked' FROM found WHERE id NOT IN (SELECT id FROM held)
