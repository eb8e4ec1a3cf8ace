-- Kinds of which there is none any more.
DELETE FROM tally WHERE contacts = 0
