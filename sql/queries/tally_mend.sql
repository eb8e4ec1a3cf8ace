-- Holds the tally against the contacts themselves, and puts it right: a trigger that somebody disabled for a while
-- would otherwise be noticed by nobody. One statement sees both as they were at one moment.
WITH truth AS (
    SELECT status, campaign_id, campaign_type, owner, call_result, lane, gateway_id, opens,
           count(*) AS contacts, min(received_time) AS oldest, min(arrival) AS oldest_arrival
    FROM tallied GROUP BY status, campaign_id, campaign_type, owner, call_result, lane, gateway_id, opens
), believed AS (
    SELECT status, campaign_id, campaign_type, owner, call_result, lane, gateway_id, opens, sum(contacts) AS contacts,
           min(oldest) AS oldest, min(oldest_arrival) AS oldest_arrival
    FROM tally_now GROUP BY status, campaign_id, campaign_type, owner, call_result, lane, gateway_id, opens
), wrong AS (
    SELECT status, campaign_id, campaign_type, owner, call_result, lane, gateway_id, opens,
           COALESCE(truth.contacts, 0) - COALESCE(believed.contacts, 0) AS contacts, truth.oldest, truth.oldest_arrival
    FROM truth FULL JOIN believed USING (status, campaign_id, campaign_type, owner, call_result, lane, gateway_id, opens)
    WHERE COALESCE(truth.contacts, 0) <> COALESCE(believed.contacts, 0)
       OR (truth.oldest, truth.oldest_arrival) < (believed.oldest, believed.oldest_arrival)
), mended AS (
    INSERT INTO tally_changes (status, campaign_id, campaign_type, owner, call_result, lane, gateway_id, opens,
                               contacts, oldest, oldest_arrival)
    SELECT * FROM wrong
)
SELECT count(*) AS kinds FROM wrong
