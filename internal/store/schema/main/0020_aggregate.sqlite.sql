-- What receivers report about our domains. Written by the room aggregate only.
-- Days are counted from 1970-01-01, UTC.

-- What came in. state: 0 waits to be read; 1 could not be read, why says it; 2 about a domain that is nobody's here. claimed: until when somebody reads it.
CREATE TABLE aggregate_inbox (
  id       TEXT    PRIMARY KEY,
  received INTEGER NOT NULL,
  state    INTEGER NOT NULL,
  claimed  INTEGER NOT NULL,
  how      TEXT    NOT NULL,
  client   TEXT    NOT NULL,
  sender   TEXT    NOT NULL,
  customer TEXT    NOT NULL,
  name     TEXT    NOT NULL,
  size     INTEGER NOT NULL,
  why      TEXT    NOT NULL,
  body     BLOB    NOT NULL
) WITHOUT ROWID;
CREATE INDEX aggregate_inbox_state ON aggregate_inbox (state, received);

-- Reports that were read. id: SHA-256 of kind, reporter, the reporter's identifier and domain, in hex. done: rows that are summed; -1: all of them.
CREATE TABLE aggregate_report (
  id        TEXT    PRIMARY KEY,
  kind      TEXT    NOT NULL,
  domain    TEXT    NOT NULL,
  reporter  TEXT    NOT NULL,
  report_id TEXT    NOT NULL,
  email     TEXT    NOT NULL,
  begins    INTEGER NOT NULL,
  ends      INTEGER NOT NULL,
  received  INTEGER NOT NULL,
  how       TEXT    NOT NULL,
  sender    TEXT    NOT NULL,
  signed    TEXT    NOT NULL,
  messages  INTEGER NOT NULL,
  passed    INTEGER NOT NULL,
  warnings  TEXT    NOT NULL,
  policy    TEXT    NOT NULL,
  done      INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX aggregate_report_domain   ON aggregate_report (domain, received);
CREATE INDEX aggregate_report_received ON aggregate_report (received);

-- Domains with reports. reversed: labels turned round ("org.example.shop"), so that all below a domain stand together.
CREATE TABLE aggregate_domain (
  domain   TEXT    PRIMARY KEY,
  reversed TEXT    NOT NULL,
  first    INTEGER NOT NULL,
  last     INTEGER NOT NULL,
  reports  INTEGER NOT NULL,
  tls_last INTEGER NOT NULL,
  failures INTEGER NOT NULL,
  policy   TEXT    NOT NULL,
  policied INTEGER NOT NULL
) WITHOUT ROWID;
CREATE UNIQUE INDEX aggregate_domain_reversed ON aggregate_domain (reversed);

-- Messages by receiver and day. A row, also of no messages, says that the day was reported.
CREATE TABLE aggregate_day (
  domain      TEXT    NOT NULL,
  day         INTEGER NOT NULL,
  reporter    TEXT    NOT NULL,
  messages    INTEGER NOT NULL,
  passed      INTEGER NOT NULL,
  dkim        INTEGER NOT NULL,
  spf         INTEGER NOT NULL,
  quarantined INTEGER NOT NULL,
  rejected    INTEGER NOT NULL,
  PRIMARY KEY (domain, day, reporter)
) WITHOUT ROWID;
CREATE INDEX aggregate_day_day ON aggregate_day (day);

-- Messages by source and day. source "": what goes beyond the sources kept of one report.
CREATE TABLE aggregate_source (
  domain      TEXT    NOT NULL,
  day         INTEGER NOT NULL,
  source      TEXT    NOT NULL,
  messages    INTEGER NOT NULL,
  passed      INTEGER NOT NULL,
  dkim        INTEGER NOT NULL,
  spf         INTEGER NOT NULL,
  quarantined INTEGER NOT NULL,
  rejected    INTEGER NOT NULL,
  forwarded   INTEGER NOT NULL,
  PRIMARY KEY (domain, day, source)
) WITHOUT ROWID;
CREATE INDEX aggregate_source_day ON aggregate_source (day);

-- The same in all detail.
CREATE TABLE aggregate_row (
  domain        TEXT    NOT NULL,
  source        TEXT    NOT NULL,
  day           INTEGER NOT NULL,
  disposition   TEXT    NOT NULL,
  dkim          TEXT    NOT NULL,
  spf           TEXT    NOT NULL,
  header_from   TEXT    NOT NULL,
  envelope_from TEXT    NOT NULL,
  signer        TEXT    NOT NULL,
  selector      TEXT    NOT NULL,
  signature     TEXT    NOT NULL,
  path          TEXT    NOT NULL,
  path_result   TEXT    NOT NULL,
  reason        TEXT    NOT NULL,
  messages      INTEGER NOT NULL,
  PRIMARY KEY (domain, source, day, disposition, dkim, spf, header_from, envelope_from, signer, selector, signature, path, path_result, reason)
) WITHOUT ROWID;
CREATE INDEX aggregate_row_day ON aggregate_row (day);

-- Names of sources. state: 0 to be asked, 1 confirmed, 2 not confirmed, 3 none, 4 no answer.
CREATE TABLE aggregate_name (
  source TEXT    PRIMARY KEY,
  name   TEXT    NOT NULL,
  state  INTEGER NOT NULL,
  asked  INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX aggregate_name_asked ON aggregate_name (state, asked);

-- What a person said about a source: "own" or "foreign".
CREATE TABLE aggregate_mark (
  domain TEXT    NOT NULL,
  source TEXT    NOT NULL,
  mark   TEXT    NOT NULL,
  actor  TEXT    NOT NULL,
  at     INTEGER NOT NULL,
  PRIMARY KEY (domain, source)
) WITHOUT ROWID;

-- Receivers that report.
CREATE TABLE aggregate_reporter (
  reporter TEXT    PRIMARY KEY,
  email    TEXT    NOT NULL,
  first    INTEGER NOT NULL,
  last     INTEGER NOT NULL,
  reports  INTEGER NOT NULL,
  warned   INTEGER NOT NULL,
  unsigned INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX aggregate_reporter_last ON aggregate_reporter (last);

-- TLS sessions towards our domains, by sender and day.
CREATE TABLE aggregate_tls (
  domain     TEXT    NOT NULL,
  day        INTEGER NOT NULL,
  reporter   TEXT    NOT NULL,
  policy     TEXT    NOT NULL,
  successful INTEGER NOT NULL,
  failed     INTEGER NOT NULL,
  PRIMARY KEY (domain, day, reporter, policy)
) WITHOUT ROWID;
CREATE INDEX aggregate_tls_day ON aggregate_tls (day);

CREATE TABLE aggregate_tls_failure (
  domain   TEXT    NOT NULL,
  day      INTEGER NOT NULL,
  result   TEXT    NOT NULL,
  mx       TEXT    NOT NULL,
  ip       TEXT    NOT NULL,
  reason   TEXT    NOT NULL,
  sessions INTEGER NOT NULL,
  PRIMARY KEY (domain, day, result, mx, ip, reason)
) WITHOUT ROWID;
CREATE INDEX aggregate_tls_failure_day ON aggregate_tls_failure (day);

-- Failure reports, without the persons in them.
CREATE TABLE aggregate_failure (
  id       TEXT    PRIMARY KEY,
  domain   TEXT    NOT NULL,
  received INTEGER NOT NULL,
  arrived  INTEGER NOT NULL,
  source   TEXT    NOT NULL,
  reporter TEXT    NOT NULL,
  failure  TEXT    NOT NULL,
  delivery TEXT    NOT NULL,
  path     TEXT    NOT NULL,
  author   TEXT    NOT NULL,
  signer   TEXT    NOT NULL,
  selector TEXT    NOT NULL,
  results  TEXT    NOT NULL,
  header   TEXT    NOT NULL
) WITHOUT ROWID;
CREATE INDEX aggregate_failure_domain   ON aggregate_failure (domain, received);
CREATE INDEX aggregate_failure_received ON aggregate_failure (received);
