SELECT count(*) FILTER (WHERE owner = %(owner)s) AS own, count(*) AS total
FROM contacts WHERE status IN ('agent_pending', 'dialed')
