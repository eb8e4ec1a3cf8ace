-- In the transaction of campaign_purge. After it, this sees as active what was taken while the purge waited for it.
UPDATE contacts SET on_return = 'purge'
WHERE campaign_id = %(campaign_id)s AND arrival > %(after)s AND arrival <= %(upto)s
  AND CASE WHEN status IN ('ended', 'failed') THEN COALESCE(call_result, '') ELSE '' END = ''
  AND status IN ('agent_pending', 'dialed')
