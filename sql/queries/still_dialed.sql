-- Which of these calls nobody has written the end of.
SELECT *, extract(epoch FROM now() - dial_time)::float8 AS dialed_ago FROM contacts
WHERE id = ANY(%(ids)s) AND status = 'dialed'
