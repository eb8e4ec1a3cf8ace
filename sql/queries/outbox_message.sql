SELECT outbox.*, contacts.campaign_id
FROM outbox LEFT JOIN contacts ON contacts.id = outbox.contact_id
WHERE outbox.id = %(id)s
