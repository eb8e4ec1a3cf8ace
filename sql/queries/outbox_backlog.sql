-- What the VC does not have yet, by kind. Delivered rows are not counted: there is no end to them.
SELECT kind, sum(waiting)::bigint AS waiting, min(since) AS since, sum(parked)::bigint AS parked
FROM (SELECT kind, count(*) AS waiting, min(created_time) AS since, 0 AS parked FROM outbox
      WHERE state = 'waiting' AND destination IS NULL GROUP BY kind
      UNION ALL
      SELECT kind, 0, NULL, count(*) FROM outbox
      WHERE state = 'parked' AND destination IS NULL GROUP BY kind) AS counted
GROUP BY kind
