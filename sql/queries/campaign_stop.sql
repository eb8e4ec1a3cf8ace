-- pending -> stopped, those next in line first; a part of the campaign, since a statement's time is limited.
WITH part AS (
    SELECT id FROM contacts
    WHERE campaign_id = %(campaign_id)s AND status = 'pending' AND received_time <= %(until)s
    ORDER BY received_time, arrival LIMIT %(limit)s
    FOR UPDATE
)
UPDATE contacts SET status = 'stopped' FROM part WHERE contacts.id = part.id RETURNING contacts.id
