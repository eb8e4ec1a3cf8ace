-- Which contacts may be taken now: the one definition that selecting and taking share.
-- An END_CHAT names only the customer, so while one is undelivered no contact of that number is taken.
CREATE VIEW eligible AS
    SELECT * FROM contacts
    WHERE status = 'pending'
      AND (start_time IS NULL OR start_time <= now())
      AND (end_time IS NULL OR end_time >= now())
      AND (hold_until IS NULL OR hold_until <= now())
      AND NOT EXISTS (
          SELECT FROM outbox
          WHERE outbox.customer_number = contacts.customer_number AND outbox.kind = 'end_chat' AND outbox.state = 'waiting');
