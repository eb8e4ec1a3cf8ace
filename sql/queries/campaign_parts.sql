-- Where what a control may change of a campaign as it is now is divided into parts of so many contacts: the last arrival
-- of each. What has ended stays so.
SELECT arrival FROM (
    SELECT arrival, row_number() OVER (ORDER BY arrival) AS place, lead(arrival) OVER (ORDER BY arrival) AS next
    FROM contacts
    WHERE campaign_id = %(campaign_id)s AND status IN ('pending', 'stopped', 'agent_pending', 'dialed')
) AS numbered
WHERE place %% %(at_once)s = 0 OR next IS NULL
ORDER BY arrival
