-- As outbox_backlog.sql, of webhooks, by receiver. Those of one that is no longer configured are not counted: nobody
-- sends them, and they go when they are old.
SELECT destination, sum(waiting)::bigint AS waiting, min(since) AS since, sum(parked)::bigint AS parked
FROM (SELECT destination, count(*) AS waiting, min(created_time) AS since, 0 AS parked FROM outbox
      WHERE state = 'waiting' AND destination IS NOT NULL AND destination = ANY(%(destinations)s)
      GROUP BY destination
      UNION ALL
      SELECT destination, 0, NULL, count(*) FROM outbox
      WHERE state = 'parked' AND destination IS NOT NULL AND destination = ANY(%(destinations)s)
      GROUP BY destination) AS counted
GROUP BY destination
