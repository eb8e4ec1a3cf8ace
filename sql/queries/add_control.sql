INSERT INTO campaign_controls (campaign_id, control, dialer, contacts)
VALUES (%(campaign_id)s, %(control)s, %(owner)s, %(contacts)s)
