-- agent_pending -> dialed, by whichever dialer got the reply: it becomes the owner.
UPDATE contacts SET
    status = 'dialed',
    owner = %(owner)s,
    switch = %(switch)s,
    agent = %(agent)s,
    dial_time = now()
WHERE id = %(id)s AND taking = %(taking)s AND status = 'agent_pending'
  AND (end_time IS NULL OR end_time >= now())
  AND EXISTS (SELECT FROM dialers WHERE id = %(owner)s AND instance = %(instance)s AND lease_until > now())
RETURNING *
