-- A page of the parked messages, by id.
SELECT id, contact_id, kind, customer_number, tenant_id, call_result, idempotency_key::text, state, attempts,
       created_time, last_error, NULL::double precision AS lifetime
FROM outbox WHERE state = 'parked' AND id > %(after)s ORDER BY id LIMIT %(limit)s
