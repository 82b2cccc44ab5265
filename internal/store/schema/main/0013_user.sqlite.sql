-- People and programs that log in: who they are, how they prove it, what they did. Written by the room user only.

-- address_key: the address in lower case; it decides who is who. hash: argon2id in PHC form; "": no password.
-- totp: base32 secret of one-time codes, readable because codes are computed from it; totp_step: the last step of which a code was used.
CREATE TABLE user_person (
  id          TEXT    PRIMARY KEY,
  address     TEXT    NOT NULL,
  address_key TEXT    NOT NULL UNIQUE,
  name        TEXT    NOT NULL,
  role        TEXT    NOT NULL,
  customer    TEXT    NOT NULL,
  language    TEXT    NOT NULL,
  zone        TEXT    NOT NULL,
  disabled    INTEGER NOT NULL,
  created     INTEGER NOT NULL,
  last_seen   INTEGER NOT NULL,
  hash        TEXT    NOT NULL,
  totp        TEXT    NOT NULL,
  totp_step   INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX user_person_customer ON user_person (customer, address_key);
CREATE INDEX user_person_role     ON user_person (role);

-- hash: SHA-256 of what the browser holds.
CREATE TABLE user_session (
  id      TEXT    PRIMARY KEY,
  hash    BLOB    NOT NULL UNIQUE,
  person  TEXT    NOT NULL,
  created INTEGER NOT NULL,
  seen    INTEGER NOT NULL,
  ends    INTEGER NOT NULL,
  ip      TEXT    NOT NULL,
  agent   TEXT    NOT NULL,
  proved  INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX user_session_person ON user_session (person, created);
CREATE INDEX user_session_seen   ON user_session (seen);

-- What may be used once within a time: links of invitations and resets, second steps of a sign-in, challenges of passkeys.
-- hash: SHA-256 of the secret. data: what the kind needs to go on.
CREATE TABLE user_once (
  hash    BLOB    NOT NULL PRIMARY KEY,
  kind    TEXT    NOT NULL,
  person  TEXT    NOT NULL,
  created INTEGER NOT NULL,
  ends    INTEGER NOT NULL,
  tries   INTEGER NOT NULL,
  data    BLOB    NOT NULL
) WITHOUT ROWID;
CREATE INDEX user_once_person ON user_once (person, kind);
CREATE INDEX user_once_ends   ON user_once (ends);

-- Recovery codes, each good once. hash: SHA-256 of user id and code.
CREATE TABLE user_recovery (
  person TEXT    NOT NULL,
  hash   BLOB    NOT NULL,
  PRIMARY KEY (person, hash)
) WITHOUT ROWID;

-- id: the credential id, base64url. data: public key, counter and flags as JSON.
CREATE TABLE user_passkey (
  id      TEXT    PRIMARY KEY,
  person  TEXT    NOT NULL,
  label   TEXT    NOT NULL,
  created INTEGER NOT NULL,
  used    INTEGER NOT NULL,
  data    BLOB    NOT NULL
) WITHOUT ROWID;
CREATE INDEX user_passkey_person ON user_passkey (person, created);

-- Networks that a user signed in from.
CREATE TABLE user_network (
  person  TEXT    NOT NULL,
  network TEXT    NOT NULL,
  seen    INTEGER NOT NULL,
  PRIMARY KEY (person, network)
) WITHOUT ROWID;

-- Who an identity provider says that a user is.
CREATE TABLE user_identity (
  issuer  TEXT    NOT NULL,
  subject TEXT    NOT NULL,
  person  TEXT    NOT NULL,
  created INTEGER NOT NULL,
  PRIMARY KEY (issuer, subject)
) WITHOUT ROWID;
CREATE INDEX user_identity_person ON user_identity (person);

-- rights: words with spaces between. hash: SHA-256 of the secret.
CREATE TABLE user_token (
  id       TEXT    PRIMARY KEY,
  hash     BLOB    NOT NULL,
  customer TEXT    NOT NULL,
  person   TEXT    NOT NULL,
  label    TEXT    NOT NULL,
  rights   TEXT    NOT NULL,
  created  INTEGER NOT NULL,
  ends     INTEGER NOT NULL,
  used     INTEGER NOT NULL,
  used_ip  TEXT    NOT NULL,
  revoked  INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX user_token_customer ON user_token (customer, created);
CREATE INDEX user_token_person   ON user_token (person);

-- The audit log. Lines leave by age.
CREATE TABLE user_entry (
  id       INTEGER PRIMARY KEY AUTOINCREMENT,
  at       INTEGER NOT NULL,
  actor    TEXT    NOT NULL,
  name     TEXT    NOT NULL,
  customer TEXT    NOT NULL,
  act      TEXT    NOT NULL,
  subject  TEXT    NOT NULL,
  text     TEXT    NOT NULL,
  ip       TEXT    NOT NULL,
  failed   INTEGER NOT NULL
);
CREATE INDEX user_entry_at       ON user_entry (at);
CREATE INDEX user_entry_customer ON user_entry (customer, id);
CREATE INDEX user_entry_actor    ON user_entry (actor, id);
CREATE INDEX user_entry_act      ON user_entry (act, id);
