-- How many contacts there are of each kind, so that nothing counts a million rows: kept by triggers, in the transaction
-- of each change. The changes are only appended, since a row that every call updates would make all calls wait for each
-- other; now and then they are folded into the table of sums (tally_fold.sql). What there is, is always the sum of both.

-- The quarter of an hour of a moment, counted from 1970; what is before or far beyond any campaign is at the ends.
CREATE FUNCTION quarter_of(moment timestamptz) RETURNS integer LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE
        WHEN moment < timestamptz '1970-01-01 00:00:00+00' THEN 0
        WHEN moment > timestamptz '9999-01-01 00:00:00+00' THEN 2147483647
        ELSE floor(extract(epoch FROM moment - timestamptz '1970-01-01 00:00:00+00') / 900)::integer
    END
$$;

-- Contacts that open in the same quarter of an hour are counted together; 0 is for those that are open from the start.
CREATE FUNCTION opens_of(start_time timestamptz, received_time timestamptz) RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN start_time IS NULL OR start_time <= received_time THEN 0 ELSE quarter_of(start_time) END
$$;

-- A lane is what can be told apart without looking at single contacts: campaign, type, gateway and when it opens. Its
-- contacts stand in one range of one index, oldest first. It is a hash, for the index's sake.
ALTER TABLE contacts ADD COLUMN lane bigint GENERATED ALWAYS AS (hashtextextended(
    campaign_id || chr(31) || campaign_type || chr(31) || gateway_id || chr(31) ||
    opens_of(start_time, received_time)::text, 0)) STORED;

-- The process (dialers.instance) that took it last: its name alone is not enough to tell whose claim a row shows.
ALTER TABLE contacts ADD COLUMN claimed_by uuid;

CREATE TABLE tally (
    status         varchar(20) NOT NULL,
    campaign_id    varchar(40) NOT NULL,
    campaign_type  varchar(20) NOT NULL,
    owner          varchar(64) NOT NULL, -- '' but for active contacts
    call_result    varchar(40) NOT NULL, -- '' for none
    -- The next three tell apart what is pending, and nothing else.
    lane           bigint      NOT NULL,
    gateway_id     varchar(40) NOT NULL,
    opens          integer     NOT NULL, -- opens_of(start_time, received_time)
    contacts       integer     NOT NULL,
    -- No pending contact of the lane has an earlier received_time, nor a lower arrival with this one.
    oldest         timestamptz,
    oldest_arrival bigint,
    PRIMARY KEY (status, campaign_id, campaign_type, owner, call_result, lane)
) WITH (fillfactor = 50);

CREATE TABLE tally_changes (
    status         varchar(20) NOT NULL,
    campaign_id    varchar(40) NOT NULL,
    campaign_type  varchar(20) NOT NULL,
    owner          varchar(64) NOT NULL,
    call_result    varchar(40) NOT NULL,
    lane           bigint      NOT NULL,
    gateway_id     varchar(40) NOT NULL,
    opens          integer     NOT NULL,
    contacts       integer     NOT NULL, -- more than before; fewer when negative
    oldest         timestamptz,          -- of those that came
    oldest_arrival bigint
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);
CREATE INDEX tally_changes_by_kind ON tally_changes (status, campaign_id);

-- Of a set of contacts: a row for each of them, with what it counts as.
CREATE VIEW tallied AS
    SELECT status, campaign_id, campaign_type, COALESCE(owner, '') AS owner, COALESCE(call_result, '') AS call_result,
           CASE status WHEN 'pending' THEN lane ELSE 0 END AS lane,
           CASE status WHEN 'pending' THEN gateway_id ELSE '' END AS gateway_id,
           CASE status WHEN 'pending' THEN opens_of(start_time, received_time) ELSE 0 END AS opens,
           CASE status WHEN 'pending' THEN received_time END AS received_time,
           CASE status WHEN 'pending' THEN arrival END AS arrival
    FROM contacts;

INSERT INTO tally
    SELECT status, campaign_id, campaign_type, owner, call_result, lane, gateway_id, opens,
           count(*), min(received_time), min(arrival)
    FROM tallied GROUP BY 1, 2, 3, 4, 5, 6, 7, 8;

-- What there is now.
CREATE VIEW tally_now AS
    SELECT status, campaign_id, campaign_type, owner, call_result, lane, gateway_id, opens,
           contacts, oldest, oldest_arrival FROM tally
    UNION ALL
    SELECT status, campaign_id, campaign_type, owner, call_result, lane, gateway_id, opens,
           contacts, oldest, oldest_arrival FROM tally_changes;

-- The same for the rows that a statement inserted, deleted or changed. They run with the rights and in the schema of who
-- made them, so that whoever may change contacts may do it as before.
CREATE FUNCTION tally_came() RETURNS trigger LANGUAGE plpgsql
SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    INSERT INTO tally_changes (status, campaign_id, campaign_type, owner, call_result, lane, gateway_id, opens,
                               contacts, oldest, oldest_arrival)
    SELECT status, campaign_id, campaign_type, COALESCE(owner, ''), COALESCE(call_result, ''),
           CASE status WHEN 'pending' THEN lane ELSE 0 END,
           CASE status WHEN 'pending' THEN gateway_id ELSE '' END,
           CASE status WHEN 'pending' THEN opens_of(start_time, received_time) ELSE 0 END,
           count(*), min(received_time), min(arrival)
    FROM came GROUP BY 1, 2, 3, 4, 5, 6, 7, 8;
    RETURN NULL;
END $$;

CREATE FUNCTION tally_went() RETURNS trigger LANGUAGE plpgsql
SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    INSERT INTO tally_changes (status, campaign_id, campaign_type, owner, call_result, lane, gateway_id, opens, contacts)
    SELECT status, campaign_id, campaign_type, COALESCE(owner, ''), COALESCE(call_result, ''),
           CASE status WHEN 'pending' THEN lane ELSE 0 END,
           CASE status WHEN 'pending' THEN gateway_id ELSE '' END,
           CASE status WHEN 'pending' THEN opens_of(start_time, received_time) ELSE 0 END,
           -count(*)
    FROM went GROUP BY 1, 2, 3, 4, 5, 6, 7, 8;
    RETURN NULL;
END $$;

CREATE FUNCTION tally_moved() RETURNS trigger LANGUAGE plpgsql
SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    INSERT INTO tally_changes (status, campaign_id, campaign_type, owner, call_result, lane, gateway_id, opens,
                               contacts, oldest, oldest_arrival)
    SELECT status, campaign_id, campaign_type, COALESCE(owner, ''), COALESCE(call_result, ''),
           CASE status WHEN 'pending' THEN lane ELSE 0 END,
           CASE status WHEN 'pending' THEN gateway_id ELSE '' END,
           CASE status WHEN 'pending' THEN opens_of(start_time, received_time) ELSE 0 END,
           sum(n), min(received_time) FILTER (WHERE n > 0), min(arrival) FILTER (WHERE n > 0)
    FROM (
        SELECT 1 AS n, status, campaign_id, campaign_type, owner, call_result, lane, gateway_id, start_time,
               received_time, arrival FROM came
        UNION ALL
        SELECT -1, status, campaign_id, campaign_type, owner, call_result, lane, gateway_id, start_time,
               received_time, arrival FROM went
    ) AS moved
    GROUP BY 1, 2, 3, 4, 5, 6, 7, 8
    -- What came into a lane may be older than all there, though as many have left it.
    HAVING sum(n) <> 0 OR (status = 'pending' AND bool_or(n > 0));
    RETURN NULL;
END $$;

CREATE FUNCTION tally_emptied() RETURNS trigger LANGUAGE plpgsql
SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    TRUNCATE tally, tally_changes;
    RETURN NULL;
END $$;

CREATE TRIGGER tally_came AFTER INSERT ON contacts
    REFERENCING NEW TABLE AS came FOR EACH STATEMENT EXECUTE FUNCTION tally_came();
CREATE TRIGGER tally_went AFTER DELETE ON contacts
    REFERENCING OLD TABLE AS went FOR EACH STATEMENT EXECUTE FUNCTION tally_went();
CREATE TRIGGER tally_moved AFTER UPDATE ON contacts
    REFERENCING OLD TABLE AS went NEW TABLE AS came FOR EACH STATEMENT EXECUTE FUNCTION tally_moved();
CREATE TRIGGER tally_emptied AFTER TRUNCATE ON contacts FOR EACH STATEMENT EXECUTE FUNCTION tally_emptied();

-- The queue of each lane, and what must be counted apart because it depends on the moment, or on other rows.
DROP INDEX contacts_waiting;
CREATE INDEX contacts_waiting ON contacts (lane, received_time, arrival) WHERE status = 'pending';
CREATE INDEX contacts_held ON contacts (hold_until) WHERE status = 'pending' AND hold_until IS NOT NULL;
CREATE INDEX contacts_opening ON contacts (start_time) WHERE status = 'pending' AND start_time IS NOT NULL;
CREATE INDEX contacts_by_number ON contacts (customer_number) WHERE status = 'pending';
-- Counting no longer needs it by status; controls work through a campaign by arrival.
DROP INDEX contacts_by_campaign;
CREATE INDEX contacts_by_campaign ON contacts (campaign_id, arrival);

-- With the new columns.
CREATE OR REPLACE VIEW eligible AS
    SELECT * FROM contacts
    WHERE status = 'pending'
      AND (start_time IS NULL OR start_time <= now())
      AND (end_time IS NULL OR end_time >= now())
      AND (hold_until IS NULL OR hold_until <= now())
      AND NOT EXISTS (
          SELECT FROM outbox
          WHERE outbox.customer_number = contacts.customer_number AND outbox.kind = 'end_chat' AND outbox.state = 'waiting');
