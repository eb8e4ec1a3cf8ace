SELECT campaign_id, status, call_result, count(*) AS contacts
FROM contacts
WHERE %(campaign_id)s::text IS NULL OR campaign_id = %(campaign_id)s
GROUP BY campaign_id, status, call_result
ORDER BY campaign_id, status, call_result
