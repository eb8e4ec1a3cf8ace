-- The dialers that share this database. What one of them held may be taken over when its lease has run out.
CREATE TABLE dialers (
    id           varchar(64) PRIMARY KEY,
    instance     uuid        NOT NULL, -- one start of the process
    started_time timestamptz NOT NULL DEFAULT now(),
    lease_until  timestamptz NOT NULL
);
