-- Try a parked notification or webhook again, at once and with its old key. Never an END_CHAT: it would close another chat.
UPDATE outbox SET state = 'waiting', next_time = now()
WHERE id = %(id)s AND state = 'parked' AND kind <> 'end_chat'
RETURNING id
