-- When a contact became ended or failed, so that old ones can be removed.
ALTER TABLE contacts ADD COLUMN ended_time timestamptz;
UPDATE contacts SET ended_time = COALESCE(dial_time, received_time) WHERE status IN ('ended', 'failed');
CREATE INDEX contacts_over ON contacts (ended_time, arrival) WHERE status IN ('ended', 'failed');

-- The view again, as it is: its rows have all columns of contacts.
CREATE OR REPLACE VIEW eligible AS
    SELECT * FROM contacts
    WHERE status = 'pending'
      AND (start_time IS NULL OR start_time <= now())
      AND (end_time IS NULL OR end_time >= now())
      AND (hold_until IS NULL OR hold_until <= now())
      AND NOT EXISTS (
          SELECT FROM outbox
          WHERE outbox.customer_number = contacts.customer_number AND outbox.kind = 'end_chat' AND outbox.state = 'waiting');
