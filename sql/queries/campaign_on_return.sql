-- What is under way becomes this when it comes back: 'stop', 'purge' or, after a start, nothing special.
-- A purge is not undone by a stop or a start that comes after it.
UPDATE contacts SET on_return = %(on_return)s
WHERE campaign_id = %(campaign_id)s AND status IN ('agent_pending', 'dialed')
  AND on_return IS DISTINCT FROM %(on_return)s AND on_return IS DISTINCT FROM 'purge'
RETURNING id
