-- +prepared
-- What was seen, each so many seconds ago.
INSERT INTO contact_events (contact_id, taking, at, event, dialer, detail)
SELECT contact_id, taking, now() - ago * interval '1 second', event, %(owner)s::text, detail
FROM unnest(
    %(contact_ids)s::text[], %(takings)s::integer[], %(agos)s::double precision[], %(events)s::text[], %(details)s::text[])
    AS seen (contact_id, taking, ago, event, detail)
