-- As before, but without calling a function of ours: a backup is restored with an empty search_path, in which the
-- generated column `lane` would not find it, and no contact would come back.
CREATE OR REPLACE FUNCTION opens_of(start_time timestamptz, received_time timestamptz) RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE
        WHEN start_time IS NULL OR start_time <= received_time THEN 0
        -- What follows is quarter_of(start_time).
        WHEN start_time < timestamptz '1970-01-01 00:00:00+00' THEN 0
        WHEN start_time > timestamptz '9999-01-01 00:00:00+00' THEN 2147483647
        ELSE floor(extract(epoch FROM start_time - timestamptz '1970-01-01 00:00:00+00') / 900)::integer
    END
$$;
