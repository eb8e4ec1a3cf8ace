-- As outbox_backlog.sql, of webhooks.
SELECT waiting.messages AS waiting, waiting.since, parked.messages AS parked
FROM (SELECT count(*) AS messages, min(created_time) AS since FROM outbox
      WHERE state = 'waiting' AND destination IS NOT NULL) AS waiting,
     (SELECT count(*) AS messages FROM outbox WHERE state = 'parked' AND destination IS NOT NULL) AS parked
