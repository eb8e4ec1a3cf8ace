-- pending -> removed, those next in line first; a part of the campaign.
WITH part AS (
    SELECT id FROM contacts
    WHERE campaign_id = %(campaign_id)s AND status = 'pending' AND received_time <= %(until)s
    ORDER BY received_time, arrival LIMIT %(limit)s
    FOR UPDATE
)
DELETE FROM contacts USING part WHERE contacts.id = part.id RETURNING contacts.id
