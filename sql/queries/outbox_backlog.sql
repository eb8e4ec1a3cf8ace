-- What the VC does not have yet. Delivered rows are not counted: there is no end to them.
SELECT waiting.messages AS waiting, waiting.since, parked.messages AS parked
FROM (SELECT count(*) AS messages, min(created_time) AS since FROM outbox
      WHERE state = 'waiting' AND destination IS NULL) AS waiting,
     (SELECT count(*) AS messages FROM outbox WHERE state = 'parked' AND destination IS NULL) AS parked
