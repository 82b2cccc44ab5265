-- What TLS a domain's mail must have, and what came of it. Written by the room tlspolicy only.

-- MTA-STS policies as they were fetched (RFC 8461): they hold until expires, whatever becomes of DNS and the policy host meanwhile.
-- policy: the text as it was served. id: of the DNS record. used: the day of the last question about the domain.
CREATE TABLE tlspolicy_sts (
  domain  TEXT    PRIMARY KEY,
  id      TEXT    NOT NULL,
  policy  BLOB    NOT NULL,
  fetched INTEGER NOT NULL,
  expires INTEGER NOT NULL,
  used    INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX tlspolicy_sts_expires ON tlspolicy_sts (expires);

-- Sessions of a day (days since 1970, UTC) with the exchangers of a domain, for its report (RFC 8460). policy: what the domain asked for, as
-- JSON; policy_key: a digest of it. failure: a result type, empty for success. egress, exchanger, addr, reason: empty for success.
CREATE TABLE tlspolicy_result (
  day        INTEGER NOT NULL,
  domain     TEXT    NOT NULL,
  policy_key TEXT    NOT NULL,
  failure    TEXT    NOT NULL,
  egress     TEXT    NOT NULL,
  exchanger  TEXT    NOT NULL,
  addr       TEXT    NOT NULL,
  reason     TEXT    NOT NULL,
  policy     BLOB    NOT NULL,
  sessions   INTEGER NOT NULL,
  PRIMARY KEY (day, domain, policy_key, failure, egress, exchanger, addr, reason)
) WITHOUT ROWID;

-- Reports: one per domain and day, made once and sent the same each time it is tried. uris: where to, as JSON, what is still to do.
-- next: when it is tried again, 0 when it is done; also keeps two nodes from sending it at the same time.
CREATE TABLE tlspolicy_report (
  day    INTEGER NOT NULL,
  domain TEXT    NOT NULL,
  id     TEXT    NOT NULL,
  uris   TEXT    NOT NULL,
  body   BLOB    NOT NULL,
  tries  INTEGER NOT NULL,
  next   INTEGER NOT NULL,
  made   INTEGER NOT NULL,
  error  TEXT    NOT NULL,
  PRIMARY KEY (day, domain)
) WITHOUT ROWID;
CREATE INDEX tlspolicy_report_next ON tlspolicy_report (next);
