-- Recipients that wait for their turn in a lane, not for their next attempt. Written by the room spool only.

-- lane: where the recipient waits, '' when in none. wait: why, in the words of who put it there. customer: the message's, once
-- the recipient waited in a lane, so that the index can be counted by customer without a look at the message.
ALTER TABLE spool_recipient ADD COLUMN lane     TEXT NOT NULL DEFAULT '';
ALTER TABLE spool_recipient ADD COLUMN wait     TEXT NOT NULL DEFAULT '';
ALTER TABLE spool_recipient ADD COLUMN customer TEXT NOT NULL DEFAULT '';
-- Serves counts by lane and customer, lists of a lane, and its early end, without touching a row.
CREATE INDEX spool_recipient_lane ON spool_recipient (lane, customer, id, idx, next_at) WHERE lane <> '';

-- loose: recipients of the message that are open and in no lane. Messages from before this column count as one recipient.
ALTER TABLE spool_message ADD COLUMN loose BIGINT NOT NULL DEFAULT 1;
DROP INDEX spool_message_due;
-- Serves the refill of the window, due holds, counts and lists without touching a row.
CREATE INDEX spool_message_due ON spool_message (held, node, next_at, id, size, customer, loose);
