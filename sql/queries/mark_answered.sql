-- +prepared
-- The customer answered, so many seconds ago. What another session has locked, or is over, is left alone: the end of
-- the call tells of the answer too (finish.sql).
WITH seen AS (
    SELECT * FROM unnest(%(ids)s::text[], %(takings)s::integer[], %(agos)s::double precision[]) AS seen (id, taking, ago)
), held AS (
    SELECT contacts.id, ago FROM contacts JOIN seen ON contacts.id = seen.id AND contacts.taking = seen.taking
    WHERE status = 'dialed' AND answered_time IS NULL
    FOR UPDATE OF contacts SKIP LOCKED
), changed AS (
    UPDATE contacts SET answered_time = now() - held.ago * interval '1 second'
    FROM held WHERE contacts.id = held.id
    RETURNING contacts.*
), announced AS (
    SELECT 1 AS place, 'answered' AS event, answered_time AS at, changed.* FROM changed
)
-- +webhooks
SELECT id FROM changed
