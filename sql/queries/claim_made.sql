-- Whether a claim whose outcome was unknown was made, and is still to be gone on with. The owner alone does not tell:
-- another process may have made the same claim, sent it and died, and this one may have taken it over, or have its name.
SELECT * FROM contacts
WHERE id = %(contact_id)s AND taking = %(taking)s AND status = %(status)s AND owner = %(owner)s
  AND claimed_by = %(instance)s
