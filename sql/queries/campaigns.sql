SELECT campaign_id, status, NULLIF(call_result, '') AS call_result, sum(contacts)::bigint AS contacts
FROM tally_now
WHERE %(campaign_id)s::text IS NULL OR campaign_id = %(campaign_id)s
GROUP BY campaign_id, status, tally_now.call_result
HAVING sum(contacts) <> 0
ORDER BY campaign_id, status, tally_now.call_result
