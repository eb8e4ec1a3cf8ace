-- A claim whose outcome is unknown cannot be committed after this: it names the taking that it starts from. Changes
-- nothing when it was committed; waits for it when it is just being made.
UPDATE contacts SET taking = taking + 1
WHERE id = %(id)s AND taking = %(taking)s AND status IN ('pending', 'stopped', 'agent_pending')
RETURNING id
