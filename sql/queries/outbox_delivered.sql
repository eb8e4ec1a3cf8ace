-- +prepared
-- The VC has these. A fact, whoever learnt it and whatever was decided about the message meanwhile.
UPDATE outbox SET state = 'delivered', delivered_time = now()
WHERE id = ANY(%(ids)s::bigint[]) AND state <> 'delivered'
