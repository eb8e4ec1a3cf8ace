-- How contacts ended in each minute of a span, counted back from the minute that it is: from %(oldest)s minutes ago up
-- to %(latest)s. The last column is the minute that it is; it is told though nothing ended.
SELECT (extract(epoch FROM this.minute - ended.minute) / 60)::integer AS ago, call_result, contacts, this.minute AS now
FROM (SELECT date_trunc('minute', now()) AS minute) AS this LEFT JOIN (
    SELECT date_trunc('minute', ended_time) AS minute, call_result, count(*) AS contacts
    FROM contacts
    WHERE status IN ('ended', 'failed')
      AND ended_time >= date_trunc('minute', now()) - %(oldest)s * interval '1 minute'
      AND ended_time < date_trunc('minute', now()) - (%(latest)s - 1) * interval '1 minute'
    GROUP BY 1, 2
) AS ended ON true
