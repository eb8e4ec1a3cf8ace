-- Whether a claim whose outcome was unknown was made, and is still to be gone on with. The owner alone does not tell:
-- another dialer may have made the same claim, sent it and died, and this one may have taken it over.
SELECT * FROM contacts
WHERE id = %(contact_id)s AND taking = %(taking)s AND status = %(status)s AND owner = %(owner)s
  AND EXISTS (
      SELECT FROM contact_events AS made
      WHERE made.contact_id = contacts.id AND made.taking = contacts.taking
        AND made.event = %(event)s AND made.dialer = %(owner)s)
