-- +prepared
-- Claim messages for the VC and park END_CHATs that are too old to be sent. A claim holds for a while only, so that
-- what a dead dialer had claimed is free again. Only the oldest waiting message of each contact may be claimed: an
-- outbox row is written by whoever holds the contact's row, so its id gives the order.
-- An END_CHAT under way (next_time ahead) is not parked: it may be about to arrive, and blocks its number until then.
WITH stale AS (
    SELECT id FROM outbox
    WHERE state = 'waiting' AND destination IS NULL AND kind = 'end_chat' AND next_time <= now()
      AND created_time <= now() - %(end_chat_lifetime)s::double precision * interval '1 second'
    ORDER BY id LIMIT %(stale_limit)s::bigint
    FOR UPDATE SKIP LOCKED
), parked AS (
    UPDATE outbox SET
        state = 'parked',
        last_error = format('not delivered in %%s s', %(end_chat_lifetime)s::integer) || COALESCE('; ' || last_error, '')
    FROM stale WHERE outbox.id = stale.id
    RETURNING outbox.*
), due AS (
    SELECT id FROM outbox AS message
    WHERE state = 'waiting' AND destination IS NULL AND next_time <= now()
      AND (kind <> 'end_chat' OR created_time > now() - %(end_chat_lifetime)s * interval '1 second')
      AND NOT EXISTS (
          SELECT FROM outbox AS earlier
          -- Waiting, put so that the index by contact is used, not the one of all that wait.
          WHERE earlier.contact_id = message.contact_id AND earlier.id < message.id AND earlier.destination IS NULL
            AND earlier.state NOT IN ('delivered', 'parked'))
    -- Longest due first, so that a backlog of any length is read from the front of the index.
    ORDER BY next_time, id LIMIT %(limit)s::bigint
    FOR UPDATE SKIP LOCKED
), claimed AS (
    UPDATE outbox SET next_time = now() + %(claim_time)s::double precision * interval '1 second', attempts = attempts + 1
    FROM due WHERE outbox.id = due.id
    RETURNING outbox.*
)
SELECT message.id, contact_id, campaign_id, kind, message.customer_number, message.tenant_id, message.call_result,
       idempotency_key::text, state, attempts, created_time, last_error,
       CASE kind WHEN 'end_chat' THEN
           extract(epoch FROM created_time - clock_timestamp())::double precision + %(end_chat_lifetime)s END AS lifetime
FROM (SELECT * FROM claimed UNION ALL SELECT * FROM parked) AS message
LEFT JOIN contacts ON contacts.id = message.contact_id
ORDER BY message.id
