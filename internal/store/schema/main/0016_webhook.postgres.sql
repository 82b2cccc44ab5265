-- Webhooks, and how far each has read the journal. Written by the room webhook only. Times are microseconds since 1970.
CREATE TABLE webhook_hook (
  id            TEXT NOT NULL PRIMARY KEY,
  customer      TEXT NOT NULL, -- '' is the gateway's: it sees the facts of all
  label         TEXT NOT NULL,
  url           TEXT NOT NULL,
  events        TEXT NOT NULL, -- words of package webhook, with commas; '' is all
  secret        TEXT NOT NULL, -- signs, so it is readable
  former        TEXT NOT NULL, -- the secret before it, which signs too until former_ends
  former_ends   BIGINT NOT NULL,
  made_by       TEXT NOT NULL,
  created       BIGINT NOT NULL,
  paused        BIGINT NOT NULL, -- 0 or 1
  era           BIGINT NOT NULL, -- grows with each act that makes what is under way void
  round         BIGINT NOT NULL, -- grows with each replay, so that its posts have IDs of their own
  position      BIGINT NOT NULL, -- every fact up to this ID is taken, or not for this hook
  batch_to      BIGINT NOT NULL, -- last fact of the post that is being tried again; 0: none
  stopped       TEXT NOT NULL, -- why nothing is sent any more; '' is not stopped
  stopped_at    BIGINT NOT NULL,
  failing_since BIGINT NOT NULL,
  failures      BIGINT NOT NULL, -- attempts that failed since then
  next_at       BIGINT NOT NULL, -- of the next attempt while it fails
  last_at       BIGINT NOT NULL, -- the last attempt
  last_status   BIGINT NOT NULL,
  last_outcome  TEXT NOT NULL,
  taken         BIGINT NOT NULL  -- events in all
);
CREATE INDEX webhook_hook_customer ON webhook_hook (customer, id);

-- The last attempts of each hook.
CREATE TABLE webhook_attempt (
  hook     TEXT NOT NULL,
  n        BIGINT NOT NULL,
  at       BIGINT NOT NULL,
  delivery TEXT NOT NULL,
  why      TEXT NOT NULL, -- facts, again, test
  events   BIGINT NOT NULL,
  first    BIGINT NOT NULL, -- IDs of facts
  last     BIGINT NOT NULL,
  status   BIGINT NOT NULL, -- of the answer; 0: none came
  outcome  TEXT NOT NULL,
  took     BIGINT NOT NULL, -- milliseconds
  PRIMARY KEY (hook, n)
);

-- Which process posts, where several share the database: one row.
CREATE TABLE webhook_turn (
  one   BIGINT NOT NULL PRIMARY KEY,
  owner TEXT NOT NULL,
  until BIGINT NOT NULL
);
INSERT INTO webhook_turn (one, owner, until) VALUES (1, '', 0);
