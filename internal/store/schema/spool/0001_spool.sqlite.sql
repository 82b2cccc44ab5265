-- The durable queue. Written by the room spool only.

-- node: a process that accepts and delivers. epoch moves when the node starts again or is declared dead: claims made
-- under an older epoch are void. beats moves while it lives; heartbeat is the time of the last beat, for people.
CREATE TABLE spool_node (
  node      TEXT    PRIMARY KEY,
  epoch     INTEGER NOT NULL,
  beats     INTEGER NOT NULL,
  heartbeat INTEGER NOT NULL
) WITHOUT ROWID;

-- One row per message, removed with its last recipient.
-- next_at: the next event: earliest attempt of a queued message, end of the hold of a held one. Never empty.
-- domains: the recipients' domains between commas, for lists.
-- hash: SHA-256 of the body. beside: file name of a body kept beside, '' when the body is in the row.
-- meta: envelope and description, see spool/meta.go. body comes last so that the other columns are read without it.
CREATE TABLE spool_message (
  id          TEXT    PRIMARY KEY,
  node        TEXT    NOT NULL,
  held        INTEGER NOT NULL,
  next_at     INTEGER NOT NULL,
  size        INTEGER NOT NULL,
  score       REAL    NOT NULL,
  customer    TEXT    NOT NULL,
  domains     TEXT    NOT NULL,
  hold_reason TEXT    NOT NULL,
  beside      TEXT    NOT NULL,
  hash        BLOB    NOT NULL,
  meta        BLOB    NOT NULL,
  verdict     BLOB,
  body        BLOB
);
-- Serves the refill of the window, due holds, counts and lists without touching a row.
CREATE INDEX spool_message_due ON spool_message (held, node, next_at, id, size, customer);

-- Only recipients that an attempt or a decision has touched have a row; the others are queued since arrival.
CREATE TABLE spool_recipient (
  id             TEXT    NOT NULL,
  idx            INTEGER NOT NULL,
  state          TEXT    NOT NULL,
  attempts       INTEGER NOT NULL,
  next_at        INTEGER NOT NULL,
  first_at       INTEGER NOT NULL,
  last_at        INTEGER NOT NULL,
  code           INTEGER NOT NULL,
  enhanced       TEXT    NOT NULL,
  text           TEXT    NOT NULL,
  host           TEXT    NOT NULL,
  delay_notified INTEGER NOT NULL,
  PRIMARY KEY (id, idx)
) WITHOUT ROWID;
