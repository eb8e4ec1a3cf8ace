SELECT * FROM contacts
WHERE owner = %(owner)s AND status = 'dialed' AND dial_time < now() - %(timeout)s * interval '1 second'
