DELETE FROM contacts
WHERE campaign_id = %(campaign_id)s AND arrival > %(after)s AND arrival <= %(upto)s
  AND CASE WHEN status IN ('ended', 'failed') THEN COALESCE(call_result, '') ELSE '' END = '' AND status = 'pending'
RETURNING true AS changed
