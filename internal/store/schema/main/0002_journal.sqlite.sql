-- Append-only facts about messages. Written by the room journal only; rows leave by age.

-- Columns without a value hold NULL, so that the partial indexes carry only facts that have one.
-- The *_key columns are the lower-cased forms that searches compare; fold is the lower-cased text that LIKE scans.
CREATE TABLE journal_fact (
  id            INTEGER PRIMARY KEY AUTOINCREMENT,
  at            INTEGER NOT NULL,
  kind          TEXT    NOT NULL,
  queue_id      TEXT,
  customer      TEXT,
  recipient_key TEXT,
  reverse_key   TEXT,
  header_key    TEXT,
  message_key   TEXT,
  credential    TEXT,
  client_ip     TEXT,
  reverse_path  TEXT,
  recipient     TEXT,
  header_from   TEXT,
  subject       TEXT,
  message_id    TEXT,
  size          INTEGER NOT NULL,
  score         REAL    NOT NULL,
  host          TEXT,
  egress_ip     TEXT,
  code          INTEGER NOT NULL,
  enhanced      TEXT,
  text          TEXT,
  next_at       INTEGER NOT NULL,
  attempt       INTEGER NOT NULL,
  actor         TEXT,
  fold          TEXT,
  detail        BLOB
);
CREATE INDEX journal_fact_at        ON journal_fact (at, id, kind);
CREATE INDEX journal_fact_queue     ON journal_fact (queue_id, kind)          WHERE queue_id IS NOT NULL;
CREATE INDEX journal_fact_customer  ON journal_fact (customer, at, id)        WHERE customer IS NOT NULL;
CREATE INDEX journal_fact_recipient ON journal_fact (recipient_key, at, id)   WHERE recipient_key IS NOT NULL;
CREATE INDEX journal_fact_reverse   ON journal_fact (reverse_key, at, id)     WHERE reverse_key IS NOT NULL;
CREATE INDEX journal_fact_header    ON journal_fact (header_key, at, id)      WHERE header_key IS NOT NULL;
CREATE INDEX journal_fact_message   ON journal_fact (message_key, at, id)     WHERE message_key IS NOT NULL;
