-- stopped -> pending; a stop that waited for what is under way is forgotten.
WITH changed AS (
    UPDATE contacts SET
        status = CASE status WHEN 'stopped' THEN 'pending' ELSE status END,
        on_return = NULL
    WHERE campaign_id = %(campaign_id)s
      AND (status = 'stopped' OR (status IN ('agent_pending', 'dialed') AND on_return = 'stop'))
    RETURNING status
)
SELECT (SELECT count(*) FROM changed WHERE status = 'pending') AS contacts,
       EXISTS (SELECT FROM contacts WHERE campaign_id = %(campaign_id)s) AS known
