-- Never to be sent again by itself, but shown; unless another claim came meanwhile.
UPDATE outbox SET state = 'parked', last_error = tried.error
FROM unnest(%(ids)s::bigint[], %(attempts)s::integer[], %(errors)s::text[]) AS tried (id, attempts, error)
WHERE outbox.id = tried.id AND outbox.attempts = tried.attempts AND state = 'waiting'
