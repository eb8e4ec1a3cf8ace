-- +prepared
-- pending -> agent_pending or dialed: the write-ahead, committed before anything is sent. Many at a time, each for itself.
-- A dialer that lost its lease takes nothing, and nobody takes a row that is not the one that was chosen: it may have
-- been taken and given back, or purged and posted again, meanwhile.
WITH asked AS (
    SELECT * FROM unnest(
        %(ids)s::text[], %(takings)s::integer[], %(arrivals)s::bigint[], %(statuses)s::text[], %(switches)s::text[])
        AS asked (id, taking, arrival, status, switch)
), free AS (
    SELECT eligible.id, asked.status, asked.switch FROM eligible JOIN asked USING (id)
    WHERE eligible.taking = asked.taking AND eligible.arrival = asked.arrival
    FOR UPDATE OF eligible SKIP LOCKED
), taken AS (
    UPDATE contacts SET
        status = free.status,
        taking = contacts.taking + 1,
        owner = %(owner)s::text,
        claimed_by = %(instance)s::uuid,
        switch = free.switch,
        dial_time = CASE WHEN free.status = 'dialed' THEN now() END,
        agent_time = CASE WHEN free.status = 'agent_pending' THEN now() END,
        agent = NULL,
        released_agent = NULL,
        bridged = false,
        answered_time = NULL,
        hold_until = NULL,
        on_return = NULL
    FROM free
    WHERE contacts.id = free.id
      AND EXISTS (SELECT FROM dialers WHERE id = %(owner)s AND instance = %(instance)s AND lease_until > now())
    RETURNING contacts.*
), noted AS (
    INSERT INTO contact_events (contact_id, taking, event, dialer, detail)
    SELECT id, taking, 'taken', owner, switch FROM taken
), announced AS (
    SELECT 1 AS place, 'taken' AS event, now() AS at, taken.* FROM taken
)
-- +webhooks
SELECT * FROM taken
