-- The advisory lock lives and dies with the session, so a dialer that was killed frees its name at once, and one that
-- lives keeps it: the lease is only for what others may take over.
INSERT INTO dialers (id, instance, lease_until)
SELECT %(owner)s, %(instance)s, now() + %(lease_time)s * interval '1 second'
WHERE pg_try_advisory_lock(hashtextextended('dialer ' || %(owner)s, 0))
ON CONFLICT (id) DO UPDATE SET
    instance = EXCLUDED.instance,
    lease_until = EXCLUDED.lease_until,
    started_time = CASE WHEN dialers.instance = EXCLUDED.instance THEN dialers.started_time ELSE now() END
RETURNING id,
    (SELECT count(*) FROM dialers AS other WHERE other.lease_until > now() AND other.id < dialers.id) AS before,
    (SELECT count(*) FROM dialers AS other WHERE other.lease_until > now() AND other.id > dialers.id) AS after
