-- Where what a control may change of a campaign as it is now is divided into parts of so many contacts of each status:
-- the last arrival of each. What is over stays so.
SELECT DISTINCT arrival
FROM unnest(ARRAY['pending', 'stopped', 'agent_pending', 'dialed']) AS waiting (status) CROSS JOIN LATERAL (
    SELECT arrival, row_number() OVER (ORDER BY arrival) AS place, lead(arrival) OVER (ORDER BY arrival) AS next
    FROM contacts
    WHERE campaign_id = %(campaign_id)s AND contacts.status = waiting.status
      AND CASE WHEN contacts.status IN ('ended', 'failed') THEN COALESCE(call_result, '') ELSE '' END = ''
) AS numbered
WHERE place %% %(at_once)s = 0 OR next IS NULL
ORDER BY arrival
