SELECT * FROM contacts
WHERE owner = %(owner)s AND status = 'agent_pending' AND agent_time < now() - %(timeout)s * interval '1 second'
