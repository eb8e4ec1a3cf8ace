-- One folds at a time, whichever dialer, and only when there is enough to fold. No row: not now.
SELECT changes FROM (SELECT count(*) AS changes FROM (SELECT FROM tally_changes LIMIT %(least)s) AS few) AS counted
WHERE changes >= %(least)s AND pg_try_advisory_xact_lock(hashtextextended('tally of contacts', 0))
