-- What providers publish about our addresses and domains. Written by the room postmaster only.

-- What Microsoft SNDS says of one address in one period. day: days since 1970, in which the period counts. ended 0: not said. Numbers of -1: not said.
-- complaint: millionths of a percent. source, seen: where it came from last, and when.
CREATE TABLE postmaster_snds (
  ip         TEXT    NOT NULL,
  start      BIGINT  NOT NULL,
  ended      BIGINT  NOT NULL,
  day        BIGINT  NOT NULL,
  rcpt       BIGINT  NOT NULL,
  data       BIGINT  NOT NULL,
  recipients BIGINT  NOT NULL,
  colour     TEXT    NOT NULL,
  complaint  BIGINT  NOT NULL,
  below      BIGINT  NOT NULL,
  trap_start BIGINT  NOT NULL,
  trap_end   BIGINT  NOT NULL,
  traps      BIGINT  NOT NULL,
  helo       TEXT    NOT NULL,
  sender     TEXT    NOT NULL,
  comments   TEXT    NOT NULL,
  source     TEXT    NOT NULL,
  seen       BIGINT  NOT NULL,
  PRIMARY KEY (ip, start)
);
-- The map of all addresses reads the index alone.
CREATE INDEX postmaster_snds_day ON postmaster_snds (day, ip, start, recipients, colour, complaint, below, traps);

-- Ranges of addresses that Microsoft reports as abnormal now. scope: whose report it is; the next one of the same scope replaces it.
CREATE TABLE postmaster_state (
  scope  TEXT    NOT NULL,
  first  TEXT    NOT NULL,
  last   TEXT    NOT NULL,
  state  TEXT    NOT NULL,
  reason TEXT    NOT NULL,
  since  BIGINT  NOT NULL,
  seen   BIGINT  NOT NULL,
  PRIMARY KEY (scope, first, last, state)
);

-- Changes of those. began 0: it ended.
CREATE TABLE postmaster_event (
  at     BIGINT  NOT NULL,
  scope  TEXT    NOT NULL,
  first  TEXT    NOT NULL,
  last   TEXT    NOT NULL,
  state  TEXT    NOT NULL,
  began  BIGINT  NOT NULL,
  reason TEXT    NOT NULL,
  PRIMARY KEY (at, scope, first, last, state, began)
);

-- Where figures come from. fault: why the last attempt failed, "" when it worked. mark: hash of the link or account, to notice that it is another one;
-- begun: since when that one is used. expires 0: not known. states: when a report of abnormal addresses last came.
CREATE TABLE postmaster_source (
  name    TEXT    NOT NULL PRIMARY KEY,
  mark    TEXT    NOT NULL,
  begun   BIGINT  NOT NULL,
  tried   BIGINT  NOT NULL,
  worked  BIGINT  NOT NULL,
  failing BIGINT  NOT NULL,
  fails   BIGINT  NOT NULL,
  fault   TEXT    NOT NULL,
  next    BIGINT  NOT NULL,
  rows    BIGINT  NOT NULL,
  states  BIGINT  NOT NULL,
  expires BIGINT  NOT NULL
);

-- Who fetches: one node of a cluster.
CREATE TABLE postmaster_lease (
  name  TEXT    NOT NULL PRIMARY KEY,
  node  TEXT    NOT NULL,
  until BIGINT  NOT NULL
);

-- Permissions to fetch, encrypted, and sign-ins under way. id: "snds", or the hash of a sign-in's state.
CREATE TABLE postmaster_grant (
  id      TEXT    NOT NULL PRIMARY KEY,
  sealed  BYTEA   NOT NULL,
  made    BIGINT  NOT NULL,
  made_by TEXT    NOT NULL,
  renewed BIGINT  NOT NULL,
  expires BIGINT  NOT NULL
);

-- What Gmail says of one domain and day. value: a share from 0 to 1.
CREATE TABLE postmaster_figure (
  domain TEXT    NOT NULL,
  day    BIGINT  NOT NULL,
  metric TEXT    NOT NULL,
  value  DOUBLE PRECISION NOT NULL,
  seen   BIGINT  NOT NULL,
  PRIMARY KEY (domain, day, metric)
);
CREATE INDEX postmaster_figure_day ON postmaster_figure (day);

-- Whether a domain keeps what Gmail demands of senders. state: "compliant", "needs-work", "unknown".
CREATE TABLE postmaster_demand (
  domain TEXT    NOT NULL,
  demand TEXT    NOT NULL,
  state  TEXT    NOT NULL,
  reason TEXT    NOT NULL,
  since  BIGINT  NOT NULL,
  seen   BIGINT  NOT NULL,
  PRIMARY KEY (domain, demand)
);
