-- How many contacts there are of each campaign type and status, and how many of these this dialer owns.
SELECT campaign_type, status, sum(contacts)::bigint AS contacts,
       COALESCE(sum(contacts) FILTER (WHERE owner = %(owner)s), 0)::bigint AS own
FROM tally_now
GROUP BY campaign_type, status
HAVING sum(contacts) <> 0
