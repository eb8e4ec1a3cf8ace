-- The contacts of a campaign in pages, by state and call result, and what of them a control changes: each kind is one
-- range, in the order of arrival. The expression is what contacts that are over ended with, '' for others. Beside it
-- stays `contacts_by_campaign`, in which all of a campaign are in the order of arrival: its results are read by that.
CREATE INDEX contacts_by_kind ON contacts (
    campaign_id, status, (CASE WHEN status IN ('ended', 'failed') THEN COALESCE(call_result, '') ELSE '' END), arrival);
