-- Addresses that are not written to. Written by the room suppression only.

-- customer: a customer's id, or the empty text for everybody. local: lower case; empty = the whole domain. until: 0 = until lifted.
-- queues: the messages whose answers stand behind it, newest first. changed: when the row was written, for nodes that follow.
CREATE TABLE suppression_entry (
  customer TEXT    NOT NULL,
  domain   TEXT    NOT NULL,
  local    TEXT    NOT NULL,
  reason   TEXT    NOT NULL,
  since    BIGINT NOT NULL,
  until    BIGINT NOT NULL,
  actor    TEXT    NOT NULL,
  queues   TEXT    NOT NULL,
  heard    BIGINT NOT NULL,
  code     BIGINT NOT NULL,
  enhanced TEXT    NOT NULL,
  answer   TEXT    NOT NULL,
  host     TEXT    NOT NULL,
  provider TEXT    NOT NULL,
  rule     TEXT    NOT NULL,
  phase    TEXT    NOT NULL,
  note     TEXT    NOT NULL,
  hits     BIGINT NOT NULL,
  hit      BIGINT NOT NULL,
  changed  BIGINT NOT NULL,
  PRIMARY KEY (customer, domain, local)
);
CREATE INDEX suppression_entry_address ON suppression_entry (domain, local);
CREATE INDEX suppression_entry_since ON suppression_entry (since, customer, domain, local);
CREATE INDEX suppression_entry_changed ON suppression_entry (changed);
CREATE INDEX suppression_entry_until ON suppression_entry (until) WHERE until > 0;

-- Answers that suppress an address only when they come again. One counts per address, reason and day. day: since 1970, UTC.
CREATE TABLE suppression_strike (
  customer TEXT    NOT NULL,
  domain   TEXT    NOT NULL,
  local    TEXT    NOT NULL,
  reason   TEXT    NOT NULL,
  day      BIGINT NOT NULL,
  queue    TEXT    NOT NULL,
  heard    BIGINT NOT NULL,
  code     BIGINT NOT NULL,
  enhanced TEXT    NOT NULL,
  answer   TEXT    NOT NULL,
  host     TEXT    NOT NULL,
  provider TEXT    NOT NULL,
  rule     TEXT    NOT NULL,
  phase    TEXT    NOT NULL,
  PRIMARY KEY (customer, domain, local, reason, day)
);
CREATE INDEX suppression_strike_address ON suppression_strike (domain, local);
CREATE INDEX suppression_strike_heard ON suppression_strike (heard);

-- Entries that were taken off, by whom and why: what stood behind them does not bring them back. id: random.
CREATE TABLE suppression_lift (
  id       BYTEA    PRIMARY KEY NOT NULL,
  customer TEXT    NOT NULL,
  domain   TEXT    NOT NULL,
  local    TEXT    NOT NULL,
  reason   TEXT    NOT NULL,
  since    BIGINT NOT NULL,
  maker    TEXT    NOT NULL,
  queues   TEXT    NOT NULL,
  rule     TEXT    NOT NULL,
  answer   TEXT    NOT NULL,
  at       BIGINT NOT NULL,
  actor    TEXT    NOT NULL,
  why      TEXT    NOT NULL
);
CREATE INDEX suppression_lift_address ON suppression_lift (domain, local);
CREATE INDEX suppression_lift_at ON suppression_lift (at);
