SELECT max(arrival) AS arrival FROM contacts WHERE campaign_id = %(campaign_id)s
