-- +prepared
-- agent_pending -> dialed, by whichever dialer got the reply: it becomes the owner.
WITH dialed AS (
    UPDATE contacts SET
        status = 'dialed',
        owner = %(owner)s::text,
        claimed_by = %(instance)s::uuid,
        switch = %(switch)s::text,
        agent = %(agent)s::text,
        dial_time = now()
    WHERE id = %(id)s::text AND taking = %(taking)s::integer AND status = 'agent_pending'
      AND (end_time IS NULL OR end_time >= now())
      AND EXISTS (SELECT FROM dialers WHERE id = %(owner)s AND instance = %(instance)s AND lease_until > now())
    RETURNING *
), noted AS (
    INSERT INTO contact_events (contact_id, taking, event, dialer, detail)
    SELECT id, taking, 'agent_reserved', owner, format('agent %%s, through %%s', agent, switch) FROM dialed
)
SELECT * FROM dialed
