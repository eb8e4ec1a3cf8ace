-- What happened to each contact and why. A change of state writes its line in its own transaction; what changes nothing
-- that is stored (sent, answered ...) is added soon after. Lines are only ever added, and purged by age.
CREATE TABLE contact_events (
    contact_id varchar(40) NOT NULL,
    taking     integer     NOT NULL,
    at         timestamptz NOT NULL DEFAULT now(),
    event      varchar(20) NOT NULL,
    dialer     varchar(64),            -- who did it or saw it
    detail     text
);
CREATE INDEX contact_events_by_contact ON contact_events (contact_id);
-- Rows come in the order of their times, so this costs next to nothing, and purging finds what is old.
CREATE INDEX contact_events_by_time ON contact_events USING brin (at) WITH (autosummarize = on);

-- One row for each start, stop or purge of a campaign: a row for each of its contacts would double their cost.
CREATE TABLE campaign_controls (
    campaign_id varchar(40) NOT NULL,
    at          timestamptz NOT NULL DEFAULT now(),
    control     varchar(10) NOT NULL CHECK (control IN ('start', 'stop', 'purge')),
    dialer      varchar(64),
    contacts    integer     NOT NULL -- how many it changed
);
CREATE INDEX campaign_controls_by_campaign ON campaign_controls (campaign_id, at);

-- A history tells of delivered messages too.
DROP INDEX outbox_waiting_by_contact;
CREATE INDEX outbox_by_contact ON outbox (contact_id, id);
