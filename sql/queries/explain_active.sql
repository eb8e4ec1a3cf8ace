-- Who holds call slots: each dialer's active contacts by campaign.
SELECT owner, campaign_id, status, sum(contacts)::bigint AS contacts
FROM tally_now WHERE status IN ('agent_pending', 'dialed')
GROUP BY owner, campaign_id, status HAVING sum(contacts) > 0
ORDER BY contacts DESC, campaign_id, status
