-- stopped -> pending; a part of the campaign.
WITH part AS (
    SELECT id FROM contacts
    WHERE campaign_id = %(campaign_id)s AND status = 'stopped' AND received_time <= %(until)s
    LIMIT %(limit)s
    FOR UPDATE
)
UPDATE contacts SET status = 'pending' FROM part WHERE contacts.id = part.id RETURNING contacts.id
