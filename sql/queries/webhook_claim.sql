-- Claim webhooks for one destination, as in outbox_claim.sql: the order of a contact's webhooks holds there alone.
WITH due AS (
    SELECT id FROM outbox AS message
    WHERE state = 'waiting' AND destination = %(destination)s AND next_time <= now()
      AND NOT EXISTS (
          SELECT FROM outbox AS earlier
          WHERE earlier.contact_id = message.contact_id AND earlier.id < message.id
            AND earlier.destination = message.destination AND earlier.state NOT IN ('delivered', 'parked'))
    ORDER BY next_time, id LIMIT %(limit)s
    FOR UPDATE SKIP LOCKED
), claimed AS (
    UPDATE outbox SET next_time = now() + %(claim_time)s * interval '1 second', attempts = attempts + 1
    FROM due WHERE outbox.id = due.id
    RETURNING outbox.*
)
SELECT id, contact_id, payload ->> 'campaign_id' AS campaign_id, kind, customer_number, tenant_id, call_result, idempotency_key::text, state, attempts,
       created_time, last_error, NULL AS lifetime, event, url, payload::text
FROM claimed
ORDER BY id
