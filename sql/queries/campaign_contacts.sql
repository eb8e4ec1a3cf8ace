-- A page of a campaign's contacts in the order of their arrival: those after %(after)s, of a status and with a result if
-- these are given. Each status is a range of one index that is in this order; which there are is looked up there too.
WITH RECURSIVE known AS (
    (SELECT status FROM contacts WHERE campaign_id = %(campaign_id)s ORDER BY status LIMIT 1)
    UNION ALL
    SELECT (SELECT contacts.status FROM contacts
            WHERE campaign_id = %(campaign_id)s AND contacts.status > known.status ORDER BY contacts.status LIMIT 1)
    FROM known WHERE known.status IS NOT NULL
), page AS (
    SELECT found.arrival, found.id
    FROM known CROSS JOIN LATERAL (
        SELECT arrival, id FROM contacts
        WHERE campaign_id = %(campaign_id)s AND contacts.status = known.status AND arrival > %(after)s
          AND (%(result)s::text IS NULL OR call_result = %(result)s)
        ORDER BY arrival LIMIT %(limit)s
    ) AS found
    WHERE %(status)s::text IS NULL OR known.status = %(status)s
    ORDER BY found.arrival LIMIT %(limit)s
)
-- What was posted besides may be large, a hundred times over: it is not in a list.
SELECT arrival, id, customer_number, campaign_type, gateway_id, campaign_contact_id, status, call_result, priority,
       received_time, start_time, end_time, dial_time, ended_time
FROM page JOIN contacts USING (id, arrival)
ORDER BY arrival
