-- The contacts of a campaign in pages, by state and call result, and what of them a control changes: each kind is one
-- range, in the order of arrival. This takes the place of an index by arrival that served the controls alone, so a change
-- of a contact writes as many entries as before. The expression is what contacts that are over ended with, '' for others.
DROP INDEX contacts_by_campaign;
CREATE INDEX contacts_by_campaign ON contacts (
    campaign_id, status, (CASE WHEN status IN ('ended', 'failed') THEN COALESCE(call_result, '') ELSE '' END), arrival);
