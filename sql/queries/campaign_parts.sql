-- Where a campaign as it is now is divided into parts of so many contacts: the last arrival of each.
SELECT arrival FROM (
    SELECT arrival, row_number() OVER (ORDER BY arrival) AS place, lead(arrival) OVER (ORDER BY arrival) AS next
    FROM contacts WHERE campaign_id = %(campaign_id)s
) AS numbered
WHERE place %% %(at_once)s = 0 OR next IS NULL
ORDER BY arrival
