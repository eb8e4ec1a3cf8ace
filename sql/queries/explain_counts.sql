-- How many contacts there are by status, and of how many campaigns: of one campaign, or of all what is not over.
SELECT status, sum(contacts)::bigint AS contacts, count(*) AS campaigns FROM (
    SELECT status, campaign_id, sum(contacts) AS contacts FROM tally_now
    WHERE campaign_id = %(campaign_id)s
       OR (%(campaign_id)s::text IS NULL AND status IN ('pending', 'stopped', 'agent_pending', 'dialed'))
    GROUP BY status, campaign_id HAVING sum(contacts) > 0
) AS each GROUP BY status
