DELETE FROM contacts
WHERE campaign_id = %(campaign_id)s AND arrival > %(after)s AND arrival <= %(upto)s AND status = 'pending'
RETURNING true AS changed
