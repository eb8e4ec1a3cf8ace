-- pending -> stopped; what is under way is marked, and stops when it comes back.
WITH changed AS (
    UPDATE contacts SET
        status = CASE status WHEN 'pending' THEN 'stopped' ELSE status END,
        on_return = CASE status WHEN 'pending' THEN NULL ELSE COALESCE(on_return, 'stop') END
    WHERE campaign_id = %(campaign_id)s AND status IN ('pending', 'agent_pending', 'dialed')
    RETURNING status
)
SELECT (SELECT count(*) FROM changed WHERE status = 'stopped') AS contacts,
       EXISTS (SELECT FROM contacts WHERE campaign_id = %(campaign_id)s) AS known
