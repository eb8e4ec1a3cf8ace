-- The gateways that pending contacts name, those first that most of them do, with how many there are in all.
SELECT gateway_id, sum(contacts)::bigint AS contacts,
       count(*) OVER () AS all_gateways, (sum(sum(contacts)) OVER ())::bigint AS all_contacts
FROM tally_now WHERE status = 'pending'
GROUP BY gateway_id HAVING sum(contacts) > 0
ORDER BY contacts DESC, gateway_id LIMIT %(limit)s
