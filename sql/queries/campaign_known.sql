SELECT now() AS now, EXISTS (SELECT FROM contacts WHERE campaign_id = %(campaign_id)s) AS known
