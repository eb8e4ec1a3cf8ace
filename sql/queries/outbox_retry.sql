-- Not delivered: free again after its wait, unless another claim came meanwhile. An END_CHAT waits no longer than it
-- may be sent, so that it is parked in time.
UPDATE outbox SET
    next_time = LEAST(
        now() + tried.wait * interval '1 second',
        CASE kind WHEN 'end_chat' THEN created_time + %(end_chat_lifetime)s * interval '1 second' END),
    last_error = tried.error
FROM unnest(%(ids)s::bigint[], %(attempts)s::integer[], %(waits)s::double precision[], %(errors)s::text[])
    AS tried (id, attempts, wait, error)
WHERE outbox.id = tried.id AND outbox.attempts = tried.attempts AND state = 'waiting'
