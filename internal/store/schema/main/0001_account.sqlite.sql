-- Customers, what they own and what authenticates them. Written by the room account only.

-- origin: config (defined in the file named by source) or database.
-- gone: a customer that left the configuration file; kept so that its suspension and credentials come back with it.
CREATE TABLE account_customer (
  id              TEXT    PRIMARY KEY,
  name            TEXT    NOT NULL,
  language        TEXT    NOT NULL,
  contact         TEXT    NOT NULL,
  pool            TEXT    NOT NULL,
  mode            TEXT    NOT NULL,
  threshold       REAL    NOT NULL,
  self_release    INTEGER NOT NULL,
  release_ceiling REAL    NOT NULL,
  any_from        INTEGER NOT NULL,
  suspended       INTEGER NOT NULL,
  origin          TEXT    NOT NULL,
  source          TEXT    NOT NULL,
  gone            INTEGER NOT NULL
) WITHOUT ROWID;

-- A network or a domain belongs to one customer.
CREATE TABLE account_network (
  network  TEXT PRIMARY KEY,
  customer TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX account_network_customer ON account_network (customer);

CREATE TABLE account_domain (
  domain   TEXT PRIMARY KEY,
  customer TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX account_domain_customer ON account_domain (customer);

-- hash: argon2id in PHC form. The password itself is nowhere.
CREATE TABLE account_credential (
  name     TEXT    PRIMARY KEY,
  customer TEXT    NOT NULL,
  hash     TEXT    NOT NULL,
  label    TEXT    NOT NULL,
  created  INTEGER NOT NULL,
  revoked  INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX account_credential_customer ON account_credential (customer);

-- DKIM private keys, readable by whoever may read the database.
CREATE TABLE account_key (
  domain    TEXT    NOT NULL,
  selector  TEXT    NOT NULL,
  algorithm TEXT    NOT NULL,
  pem       BLOB    NOT NULL,
  created   INTEGER NOT NULL,
  active    INTEGER NOT NULL,
  PRIMARY KEY (domain, selector)
) WITHOUT ROWID;
