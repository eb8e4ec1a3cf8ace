-- The gateways that pending contacts name.
SELECT gateway_id, sum(contacts)::bigint AS contacts
FROM tally_now WHERE status = 'pending'
GROUP BY gateway_id HAVING sum(contacts) > 0
ORDER BY gateway_id LIMIT %(limit)s
