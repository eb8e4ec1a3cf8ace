-- The tables that have changed so much since PostgreSQL looked at them that its plans may be far from good: after a
-- large list was posted, autovacuum takes a minute to come by.
SELECT relname FROM pg_stat_user_tables
WHERE schemaname = current_schema() AND relname IN ('contacts', 'outbox', 'tally')
  AND n_mod_since_analyze > 500 + n_live_tup / 2
