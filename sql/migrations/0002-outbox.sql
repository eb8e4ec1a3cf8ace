-- What the VC must be told, written in the transaction of the state change that it reports.
CREATE TABLE outbox (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    contact_id      varchar(40) NOT NULL,
    kind            varchar(20) NOT NULL CHECK (kind IN ('notification', 'end_chat')),
    customer_number varchar(20) NOT NULL,
    tenant_id       varchar(40),
    call_result     varchar(40),
    idempotency_key uuid        NOT NULL DEFAULT gen_random_uuid(),
    state           varchar(10) NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'delivered', 'parked')),
    attempts        integer     NOT NULL DEFAULT 0,
    created_time    timestamptz NOT NULL DEFAULT now(),
    next_time       timestamptz NOT NULL DEFAULT now(), -- not sent before; moved ahead by whoever claims it
    delivered_time  timestamptz,
    last_error      text,
    CONSTRAINT outbox_result_told CHECK ((kind = 'notification') = (call_result IS NOT NULL))
);

CREATE INDEX outbox_due ON outbox (next_time, id) WHERE state = 'waiting';
CREATE INDEX outbox_waiting_by_contact ON outbox (contact_id, id) WHERE state = 'waiting';
CREATE INDEX outbox_end_chat_by_number ON outbox (customer_number) WHERE state = 'waiting' AND kind = 'end_chat';
CREATE INDEX outbox_parked ON outbox (id) WHERE state = 'parked';
