-- Webhooks: what becomes of contacts, told to receivers beside the VC by the same outbox. They are apart from the VC's
-- messages in everything else: in their order, and in the indexes, so that a receiver that is dead costs the VC nothing.
ALTER TABLE outbox
    ADD COLUMN destination varchar(270), -- who gets a webhook: RESULT_WEBHOOK_URL, or host:port; null: the VC gets it
    ADD COLUMN url         text,         -- the contact's own; null for RESULT_WEBHOOK_URL, which may be changed
    ADD COLUMN event       varchar(20),  -- what a webhook tells
    ADD COLUMN payload     json,         -- the contact as it was then
    DROP CONSTRAINT outbox_kind_check,
    ADD CONSTRAINT outbox_kind_check CHECK (kind IN ('notification', 'end_chat', 'webhook')) NOT VALID,
    ADD CONSTRAINT outbox_webhook_whole CHECK (
        CASE kind WHEN 'webhook' THEN num_nonnulls(destination, event, payload) = 3
        ELSE num_nonnulls(destination, url, event, payload) = 0 END) NOT VALID;

DROP INDEX outbox_due, outbox_parked;
CREATE INDEX outbox_due ON outbox (next_time, id) WHERE state = 'waiting' AND destination IS NULL;
CREATE INDEX outbox_parked ON outbox (id) WHERE state = 'parked' AND destination IS NULL;
CREATE INDEX outbox_webhooks_due ON outbox (destination, next_time, id)
    WHERE state = 'waiting' AND destination IS NOT NULL;
CREATE INDEX outbox_webhooks_parked ON outbox (id) WHERE state = 'parked' AND destination IS NOT NULL;

-- When the customer answered: with the taking it tells whether that was told.
ALTER TABLE contacts ADD COLUMN answered_time timestamptz;

-- Where a contact wants its events told: host:port and the URL; nothing when it names no https URL. Strict, since it
-- decides which receiver's turn it is: what is odd is not used. Metadata that was taken over may be no JSON.
CREATE FUNCTION call_events_webhook(metadata text) RETURNS TABLE (destination text, url text)
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    named text;
    parts text[];
BEGIN
    IF metadata IS NULL OR position('callEventsWebhookUrl' IN metadata) = 0 THEN
        RETURN;
    END IF;
    BEGIN
        named := metadata::jsonb ->> 'callEventsWebhookUrl';
    EXCEPTION WHEN data_exception OR program_limit_exceeded THEN
        RETURN;
    END;
    parts := regexp_match(named, '^(?:https|HTTPS)://([A-Za-z0-9.-]{1,253})(?::([1-9][0-9]{0,4}))?(?:[/?][!-"$-~]*)?$');
    IF parts IS NOT NULL AND length(named) <= 2000 THEN
        RETURN QUERY SELECT lower(parts[1]) || ':' || COALESCE(parts[2], '443'), named;
    END IF;
END $$;

-- With the new column.
CREATE OR REPLACE VIEW eligible AS
    SELECT * FROM contacts
    WHERE status = 'pending'
      AND (start_time IS NULL OR start_time <= now())
      AND (end_time IS NULL OR end_time >= now())
      AND (hold_until IS NULL OR hold_until <= now())
      AND NOT EXISTS (
          SELECT FROM outbox
          WHERE outbox.customer_number = contacts.customer_number AND outbox.kind = 'end_chat' AND outbox.state = 'waiting');
