SELECT COALESCE(sum(contacts) FILTER (WHERE owner = %(owner)s::text), 0)::bigint AS own,
       COALESCE(sum(contacts), 0)::bigint AS total
FROM tally_now WHERE status IN ('agent_pending', 'dialed')
