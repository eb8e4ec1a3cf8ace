-- stopped -> pending; a stop that waited for what is under way is forgotten. One part of the campaign.
UPDATE contacts SET
    status = CASE status WHEN 'stopped' THEN 'pending' ELSE status END,
    on_return = NULL
WHERE campaign_id = %(campaign_id)s AND arrival > %(after)s AND arrival <= %(upto)s
  AND CASE WHEN status IN ('ended', 'failed') THEN COALESCE(call_result, '') ELSE '' END = ''
  AND status IN ('stopped', 'agent_pending', 'dialed') AND (status = 'stopped' OR on_return = 'stop')
RETURNING status = 'pending' AS changed
