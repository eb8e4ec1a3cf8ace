SELECT pg_advisory_xact_lock(hashtextextended('tally of contacts', 0))
