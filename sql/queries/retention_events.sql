-- Lines of histories, and what was done to campaigns, that are old. All that is old goes, so the next page is what is
-- left; it is larger than others, since each reads past those before it until they are vacuumed.
WITH page AS (
    SELECT ctid FROM contact_events WHERE at < now() - %(days)s * interval '1 day' LIMIT 10 * %(limit)s
    FOR UPDATE SKIP LOCKED
), removed AS (
    DELETE FROM contact_events USING page WHERE contact_events.ctid = page.ctid RETURNING 1
), controls AS (
    DELETE FROM campaign_controls WHERE at < now() - %(days)s * interval '1 day'
)
SELECT (SELECT count(*) FROM removed) AS removed, (SELECT count(*) FROM page) = 10 * %(limit)s AS more
