SELECT * FROM contacts WHERE id = %(id)s
