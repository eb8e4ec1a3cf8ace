-- pending -> stopped; what is under way is marked, and stops when it comes back. One part of the campaign, since a
-- statement's time is limited. One UPDATE for both: a contact may just be being taken, or coming back.
UPDATE contacts SET
    status = CASE status WHEN 'pending' THEN 'stopped' ELSE status END,
    on_return = CASE status WHEN 'pending' THEN NULL ELSE COALESCE(on_return, 'stop') END
WHERE campaign_id = %(campaign_id)s AND arrival > %(after)s AND arrival <= %(upto)s
  AND CASE WHEN status IN ('ended', 'failed') THEN COALESCE(call_result, '') ELSE '' END = ''
  AND status IN ('pending', 'agent_pending', 'dialed')
RETURNING status = 'stopped' AS changed
