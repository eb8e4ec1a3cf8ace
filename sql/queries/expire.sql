-- pending or stopped past its end_time -> failed, Expired; reported like any other failure.
WITH due AS (
    SELECT id FROM contacts
    WHERE status IN ('pending', 'stopped') AND end_time < now()
    ORDER BY end_time LIMIT %(limit)s
    FOR UPDATE SKIP LOCKED
), changed AS (
    UPDATE contacts SET status = 'failed', call_result = 'Expired', ended_time = now(), hold_until = NULL
    FROM due WHERE contacts.id = due.id
    RETURNING contacts.*
), told AS (
    INSERT INTO outbox (contact_id, kind, customer_number, tenant_id, call_result)
    SELECT id, 'notification', customer_number, tenant_id, call_result FROM changed
), noted AS (
    INSERT INTO contact_events (contact_id, taking, event, dialer, detail)
    SELECT id, taking, 'failed', %(owner)s, call_result FROM changed
), announced AS (
    SELECT 1 AS place, 'expired' AS event, now() AS at, changed.* FROM changed
)
-- +webhooks
SELECT campaign_type FROM changed
