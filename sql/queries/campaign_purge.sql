WITH removed AS (
    DELETE FROM contacts WHERE campaign_id = %(campaign_id)s AND status = 'pending' RETURNING id
)
SELECT (SELECT count(*) FROM removed) AS contacts,
       EXISTS (SELECT FROM contacts WHERE campaign_id = %(campaign_id)s) AS known
