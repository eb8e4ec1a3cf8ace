UPDATE dialers SET lease_until = now() WHERE id = %(owner)s AND instance = %(instance)s
