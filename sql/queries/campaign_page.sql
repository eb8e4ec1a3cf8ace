-- The next contacts of a campaign by arrival, and where they end: those of them that have the status, if one is given. One
-- row without a contact when none has it: a page is so many contacts looked at, however few are wanted.
WITH page AS (
    SELECT * FROM contacts
    WHERE campaign_id = %(campaign_id)s AND arrival > %(after)s AND arrival <= %(upto)s
    ORDER BY arrival LIMIT %(limit)s
), ending AS (SELECT max(arrival) AS page_end FROM page HAVING count(*) > 0)
SELECT ending.page_end, page.*
FROM ending LEFT JOIN page ON %(status)s::text IS NULL OR page.status = %(status)s
ORDER BY page.arrival
