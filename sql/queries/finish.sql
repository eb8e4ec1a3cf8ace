-- +prepared
-- To ended or failed, each from the state and the taking that it names, with what the VC must be told.
-- Whoever sees a call end writes it, owner or not; the second of two changes nothing. A row that another session has
-- locked is told as 'locked' and left alone, so that it does not hold up the others.
-- The first message of a contact is claimed at once as in outbox_claim.sql, of so many contacts as there is room for,
-- and comes back with its contact, so that it is delivered without another statement.
WITH asked AS (
    SELECT * FROM unnest(
        %(ids)s::text[], %(takings)s::integer[], %(from_statuses)s::text[],
        %(to_statuses)s::text[], %(results)s::text[], %(end_chats)s::boolean[], %(agents)s::text[],
        %(answered_agos)s::double precision[])
        AS asked (id, taking, from_status, to_status, result, end_chat, agent, answered_ago)
), found AS (
    SELECT asked.* FROM asked JOIN contacts
        ON contacts.id = asked.id AND contacts.taking = asked.taking AND contacts.status = asked.from_status
), held AS (
    SELECT found.*, contacts.answered_time AS answer_told FROM found JOIN contacts
        ON contacts.id = found.id AND contacts.taking = found.taking AND contacts.status = found.from_status
    FOR UPDATE OF contacts SKIP LOCKED
), changed AS (
    UPDATE contacts SET
        status = held.to_status,
        call_result = held.result,
        ended_time = now(),
        agent = COALESCE(held.agent, contacts.agent),
        answered_time = COALESCE(contacts.answered_time, now() - held.answered_ago * interval '1 second'),
        owner = NULL,
        hold_until = NULL,
        on_return = NULL
    FROM held
    WHERE contacts.id = held.id
    RETURNING contacts.*, end_chat, answer_told
), told AS (
    -- The agent is freed first: a notification that is tried again must not hold up an END_CHAT.
    INSERT INTO outbox (contact_id, kind, customer_number, tenant_id, call_result, attempts, next_time)
    SELECT id, kind, customer_number, tenant_id, CASE kind WHEN 'notification' THEN call_result END,
           claimed::integer, now() + claimed::integer * %(claim_time)s::double precision * interval '1 second'
    FROM (
        SELECT *, first AND row_number() OVER (PARTITION BY first ORDER BY id) <= %(room)s::bigint AS claimed
        FROM (
            SELECT *, (kind = 'end_chat' OR NOT end_chat) AND NOT EXISTS (
                -- Put so that the index by contact is used, not the one of all that wait.
                SELECT FROM outbox
                WHERE contact_id = changed.id AND destination IS NULL AND state NOT IN ('delivered', 'parked')) AS first
            FROM changed CROSS JOIN (VALUES (1, 'end_chat'), (2, 'notification')) AS message (place, kind)
            WHERE kind = 'notification' OR end_chat
        ) AS due
    ) AS message
    ORDER BY place
    RETURNING *
), noted AS (
    INSERT INTO contact_events (contact_id, taking, event, dialer, detail)
    SELECT id, taking, status, %(owner)s::text, call_result FROM changed
), announced AS (
    SELECT 1 AS place, 'answered' AS event, answered_time AS at, changed.* FROM changed
    WHERE answer_told IS NULL AND answered_time IS NOT NULL
    UNION ALL
    SELECT 2, CASE call_result WHEN 'Expired' THEN 'expired' ELSE status END, now(), changed.* FROM changed
)
-- +webhooks
SELECT changed.id, taking, status::text, told.id AS message_id, campaign_id, kind, told.customer_number,
       told.tenant_id, told.call_result, idempotency_key::text, created_time, attempts
FROM changed LEFT JOIN told ON told.contact_id = changed.id AND attempts > 0
UNION ALL
SELECT id, taking, 'locked', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
FROM found WHERE id NOT IN (SELECT id FROM held)
