-- Webhooks, and how far each has read the journal. Written by the room webhook only. Times are microseconds since 1970.
CREATE TABLE webhook_hook (
  id            TEXT NOT NULL PRIMARY KEY,
  customer      TEXT NOT NULL, -- '' is the gateway's: it sees the facts of all
  label         TEXT NOT NULL,
  url           TEXT NOT NULL,
  events        TEXT NOT NULL, -- words of package webhook, with commas; '' is all
  secret        TEXT NOT NULL, -- signs, so it is readable
  former        TEXT NOT NULL, -- the secret before it, which signs too until former_ends
  former_ends   INTEGER NOT NULL,
  made_by       TEXT NOT NULL,
  created       INTEGER NOT NULL,
  paused        INTEGER NOT NULL, -- 0 or 1
  era           INTEGER NOT NULL, -- grows with each act that makes what is under way void
  round         INTEGER NOT NULL, -- grows with each replay, so that its posts have IDs of their own
  position      INTEGER NOT NULL, -- every fact up to this ID is taken, or not for this hook
  batch_to      INTEGER NOT NULL, -- last fact of the post that is being tried again; 0: none
  stopped       TEXT NOT NULL, -- why nothing is sent any more; '' is not stopped
  stopped_at    INTEGER NOT NULL,
  failing_since INTEGER NOT NULL,
  failures      INTEGER NOT NULL, -- attempts that failed since then
  next_at       INTEGER NOT NULL, -- of the next attempt while it fails
  last_at       INTEGER NOT NULL, -- the last attempt
  last_status   INTEGER NOT NULL,
  last_outcome  TEXT NOT NULL,
  taken         INTEGER NOT NULL  -- events in all
) WITHOUT ROWID;
CREATE INDEX webhook_hook_customer ON webhook_hook (customer, id);

-- The last attempts of each hook.
CREATE TABLE webhook_attempt (
  hook     TEXT NOT NULL,
  n        INTEGER NOT NULL,
  at       INTEGER NOT NULL,
  delivery TEXT NOT NULL,
  why      TEXT NOT NULL, -- facts, again, test
  events   INTEGER NOT NULL,
  first    INTEGER NOT NULL, -- IDs of facts
  last     INTEGER NOT NULL,
  status   INTEGER NOT NULL, -- of the answer; 0: none came
  outcome  TEXT NOT NULL,
  took     INTEGER NOT NULL, -- milliseconds
  PRIMARY KEY (hook, n)
) WITHOUT ROWID;

-- Which process posts, where several share the database: one row.
CREATE TABLE webhook_turn (
  one   INTEGER NOT NULL PRIMARY KEY,
  owner TEXT NOT NULL,
  until INTEGER NOT NULL
);
INSERT INTO webhook_turn (one, owner, until) VALUES (1, '', 0);
