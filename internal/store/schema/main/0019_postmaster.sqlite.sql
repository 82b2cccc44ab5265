-- What providers publish about our addresses and domains. Written by the room postmaster only.

-- What Microsoft SNDS says of one address in one period. day: days since 1970, in which the period counts. ended 0: not said. Numbers of -1: not said.
-- complaint: millionths of a percent. source, seen: where it came from last, and when.
CREATE TABLE postmaster_snds (
  ip         TEXT    NOT NULL,
  start      INTEGER NOT NULL,
  ended      INTEGER NOT NULL,
  day        INTEGER NOT NULL,
  rcpt       INTEGER NOT NULL,
  data       INTEGER NOT NULL,
  recipients INTEGER NOT NULL,
  colour     TEXT    NOT NULL,
  complaint  INTEGER NOT NULL,
  below      INTEGER NOT NULL,
  trap_start INTEGER NOT NULL,
  trap_end   INTEGER NOT NULL,
  traps      INTEGER NOT NULL,
  helo       TEXT    NOT NULL,
  sender     TEXT    NOT NULL,
  comments   TEXT    NOT NULL,
  source     TEXT    NOT NULL,
  seen       INTEGER NOT NULL,
  PRIMARY KEY (ip, start)
) WITHOUT ROWID;
-- The map of all addresses reads the index alone.
CREATE INDEX postmaster_snds_day ON postmaster_snds (day, ip, start, recipients, colour, complaint, below, traps);

-- Ranges of addresses that Microsoft reports as abnormal now. scope: whose report it is; the next one of the same scope replaces it.
CREATE TABLE postmaster_state (
  scope  TEXT    NOT NULL,
  first  TEXT    NOT NULL,
  last   TEXT    NOT NULL,
  state  TEXT    NOT NULL,
  reason TEXT    NOT NULL,
  since  INTEGER NOT NULL,
  seen   INTEGER NOT NULL,
  PRIMARY KEY (scope, first, last, state)
) WITHOUT ROWID;

-- Changes of those. began 0: it ended.
CREATE TABLE postmaster_event (
  at     INTEGER NOT NULL,
  scope  TEXT    NOT NULL,
  first  TEXT    NOT NULL,
  last   TEXT    NOT NULL,
  state  TEXT    NOT NULL,
  began  INTEGER NOT NULL,
  reason TEXT    NOT NULL,
  PRIMARY KEY (at, scope, first, last, state, began)
) WITHOUT ROWID;

-- Where figures come from. fault: why the last attempt failed, "" when it worked. mark: hash of the link or account, to notice that it is another one;
-- begun: since when that one is used. expires 0: not known. states: when a report of abnormal addresses last came.
CREATE TABLE postmaster_source (
  name    TEXT    NOT NULL PRIMARY KEY,
  mark    TEXT    NOT NULL,
  begun   INTEGER NOT NULL,
  tried   INTEGER NOT NULL,
  worked  INTEGER NOT NULL,
  failing INTEGER NOT NULL,
  fails   INTEGER NOT NULL,
  fault   TEXT    NOT NULL,
  next    INTEGER NOT NULL,
  rows    INTEGER NOT NULL,
  states  INTEGER NOT NULL,
  expires INTEGER NOT NULL
) WITHOUT ROWID;

-- Who fetches: one node of a cluster.
CREATE TABLE postmaster_lease (
  name  TEXT    NOT NULL PRIMARY KEY,
  node  TEXT    NOT NULL,
  until INTEGER NOT NULL
) WITHOUT ROWID;

-- Permissions to fetch, encrypted, and sign-ins under way. id: "snds", or the hash of a sign-in's state.
CREATE TABLE postmaster_grant (
  id      TEXT    NOT NULL PRIMARY KEY,
  sealed  BLOB    NOT NULL,
  made    INTEGER NOT NULL,
  made_by TEXT    NOT NULL,
  renewed INTEGER NOT NULL,
  expires INTEGER NOT NULL
) WITHOUT ROWID;

-- What Gmail says of one domain and day. value: a share from 0 to 1.
CREATE TABLE postmaster_figure (
  domain TEXT    NOT NULL,
  day    INTEGER NOT NULL,
  metric TEXT    NOT NULL,
  value  REAL    NOT NULL,
  seen   INTEGER NOT NULL,
  PRIMARY KEY (domain, day, metric)
) WITHOUT ROWID;
CREATE INDEX postmaster_figure_day ON postmaster_figure (day);

-- Whether a domain keeps what Gmail demands of senders. state: "compliant", "needs-work", "unknown".
CREATE TABLE postmaster_demand (
  domain TEXT    NOT NULL,
  demand TEXT    NOT NULL,
  state  TEXT    NOT NULL,
  reason TEXT    NOT NULL,
  since  INTEGER NOT NULL,
  seen   INTEGER NOT NULL,
  PRIMARY KEY (domain, demand)
) WITHOUT ROWID;
