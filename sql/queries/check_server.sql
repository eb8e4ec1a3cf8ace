-- What a dialer needs of its database, as `dialer check` tells it.
SELECT current_setting('server_version_num')::integer AS version,
       current_setting('server_version') AS version_name,
       pg_is_in_recovery() AS standby,
       current_database() AS name,
       COALESCE(has_schema_privilege(current_schema(), 'CREATE'), false) AS may_create,
       to_regclass('contacts') IS NOT NULL AS has_contacts,
       to_regclass('tally_now') IS NOT NULL AS has_tally
