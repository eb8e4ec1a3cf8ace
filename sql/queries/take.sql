-- pending -> agent_pending or dialed: the write-ahead, committed before anything is sent.
-- A dialer that lost its lease takes nothing, and nobody takes a row that is not the one that was chosen: it may have
-- been taken and given back, or purged and posted again, meanwhile.
WITH taken AS (
    UPDATE contacts SET
        status = %(status)s,
        taking = taking + 1,
        owner = %(owner)s,
        switch = %(switch)s,
        dial_time = CASE WHEN %(status)s = 'dialed' THEN now() END,
        agent_time = CASE WHEN %(status)s = 'agent_pending' THEN now() END,
        agent = NULL,
        released_agent = NULL,
        bridged = false,
        hold_until = NULL,
        on_return = NULL
    WHERE id = (
        SELECT id FROM eligible
        WHERE id = %(id)s AND taking = %(taking)s AND arrival = %(arrival)s FOR UPDATE SKIP LOCKED)
      AND EXISTS (SELECT FROM dialers WHERE id = %(owner)s AND instance = %(instance)s AND lease_until > now())
    RETURNING *
), noted AS (
    INSERT INTO contact_events (contact_id, taking, event, dialer, detail)
    SELECT id, taking, 'taken', owner, switch FROM taken
)
SELECT * FROM taken
