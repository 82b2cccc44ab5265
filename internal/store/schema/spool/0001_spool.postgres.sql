-- The durable queue. Written by the room spool only.

-- node: a process that accepts and delivers. epoch moves when the node starts again or is declared dead: claims made
-- under an older epoch are void. beats moves while it lives; heartbeat is the time of the last beat, for people.
CREATE TABLE spool_node (
  node      TEXT    PRIMARY KEY,
  epoch     BIGINT  NOT NULL,
  beats     BIGINT  NOT NULL,
  heartbeat BIGINT  NOT NULL
);

-- One row per message, removed with its last recipient.
-- next_at: the next event: earliest attempt of a queued message, end of the hold of a held one. Never empty.
-- domains: the recipients' domains between commas, for lists.
-- hash: SHA-256 of the body. beside: file name of a body kept beside, '' when the body is in the row.
-- meta: envelope and description, see spool/meta.go. body comes last so that the other columns are read without it.
CREATE TABLE spool_message (
  id          TEXT    COLLATE "C" PRIMARY KEY,
  node        TEXT    NOT NULL,
  held        BIGINT  NOT NULL,
  next_at     BIGINT  NOT NULL,
  size        BIGINT  NOT NULL,
  score       DOUBLE PRECISION  NOT NULL,
  customer    TEXT    NOT NULL,
  domains     TEXT    NOT NULL,
  hold_reason TEXT    NOT NULL,
  beside      TEXT    NOT NULL,
  hash        BYTEA   NOT NULL,
  meta        BYTEA   NOT NULL,
  verdict     BYTEA,
  body        BYTEA
);
-- Serves the refill of the window, due holds, counts and lists without touching a row.
CREATE INDEX spool_message_due ON spool_message (held, node, next_at, id, size, customer);

-- Only recipients that an attempt or a decision has touched have a row; the others are queued since arrival.
CREATE TABLE spool_recipient (
  id             TEXT    COLLATE "C" NOT NULL,
  idx            BIGINT  NOT NULL,
  state          TEXT    NOT NULL,
  attempts       BIGINT  NOT NULL,
  next_at        BIGINT  NOT NULL,
  first_at       BIGINT  NOT NULL,
  last_at        BIGINT  NOT NULL,
  code           BIGINT  NOT NULL,
  enhanced       TEXT    NOT NULL,
  text           TEXT    NOT NULL,
  host           TEXT    NOT NULL,
  delay_notified BIGINT  NOT NULL,
  PRIMARY KEY (id, idx)
);

-- Mail compresses badly and is read once: keep bodies aside and as they are.
ALTER TABLE spool_message ALTER COLUMN body SET STORAGE EXTERNAL;
-- The tables live on the dead rows of short-lived messages: vacuum early, long before the index grows.
ALTER TABLE spool_message SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 5000, fillfactor = 90);
ALTER TABLE spool_recipient SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 5000, fillfactor = 90);
