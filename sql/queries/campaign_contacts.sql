-- A page of a campaign's contacts in the order of their arrival: those after %(after)s, of a status and with a result if
-- these are given. Of each status and result of those that are over, which are looked up, there is a range of one index
-- that is in this order: so many are read of each at most.
WITH RECURSIVE known AS (
    (SELECT status, CASE WHEN status IN ('ended', 'failed') THEN COALESCE(call_result, '') ELSE '' END AS result
     FROM contacts WHERE campaign_id = %(campaign_id)s ORDER BY 1, 2 LIMIT 1)
    UNION ALL
    SELECT next.status, next.result FROM known CROSS JOIN LATERAL (
        SELECT contacts.status,
               CASE WHEN contacts.status IN ('ended', 'failed') THEN COALESCE(call_result, '') ELSE '' END AS result
        FROM contacts
        WHERE campaign_id = %(campaign_id)s
          AND (contacts.status,
               CASE WHEN contacts.status IN ('ended', 'failed') THEN COALESCE(call_result, '') ELSE '' END)
              > (known.status, known.result)
        ORDER BY 1, 2 LIMIT 1
    ) AS next
), page AS (
    SELECT found.arrival, found.id
    FROM known CROSS JOIN LATERAL (
        SELECT arrival, id FROM contacts
        WHERE campaign_id = %(campaign_id)s AND contacts.status = known.status AND arrival > %(after)s
          AND CASE WHEN contacts.status IN ('ended', 'failed') THEN COALESCE(call_result, '') ELSE '' END = known.result
        ORDER BY arrival LIMIT %(limit)s
    ) AS found
    WHERE (%(status)s::text IS NULL OR known.status = %(status)s)
      AND (%(result)s::text IS NULL OR known.result = %(result)s)
    ORDER BY found.arrival LIMIT %(limit)s
)
-- What was posted besides may be large, a hundred times over: it is not in a list.
SELECT arrival, id, customer_number, campaign_type, gateway_id, campaign_contact_id, status, call_result, priority,
       received_time, start_time, end_time, dial_time, ended_time
FROM page JOIN contacts USING (id, arrival)
ORDER BY arrival
