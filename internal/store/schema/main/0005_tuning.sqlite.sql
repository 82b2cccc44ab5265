-- What operators and senders decided about tests and people: points that differ, who is let through, who is stopped. Written by the room
-- account only.

-- scope: a customer's id, or the empty text for everybody. actor: who set it, as the journal writes actors.
CREATE TABLE account_score (
  scope  TEXT    NOT NULL,
  test   TEXT    NOT NULL,
  points REAL    NOT NULL,
  actor  TEXT    NOT NULL,
  at     INTEGER NOT NULL,
  PRIMARY KEY (scope, test)
) WITHOUT ROWID;

-- own: made by the customer's sender himself, with less power than an operator's. kind: allow or deny. what: which part of a message value
-- is compared with. until: 0 = for ever.
CREATE TABLE account_entry (
  scope TEXT    NOT NULL,
  own   INTEGER NOT NULL,
  kind  TEXT    NOT NULL,
  what  TEXT    NOT NULL,
  value TEXT    NOT NULL,
  until INTEGER NOT NULL,
  note  TEXT    NOT NULL,
  actor TEXT    NOT NULL,
  at    INTEGER NOT NULL,
  PRIMARY KEY (scope, own, kind, what, value)
) WITHOUT ROWID;
