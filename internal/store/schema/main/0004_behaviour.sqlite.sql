-- How senders behave. Written by the room learn only.

-- A key of this installation, made at the first start: whoever has not got it cannot tell whose hash a recipient's is.
CREATE TABLE learn_secret (
  name  TEXT    PRIMARY KEY,
  value BLOB    NOT NULL,
  at    INTEGER NOT NULL
) WITHOUT ROWID;

-- What one node counted of one identity. identity: a digest. state: counters per hour and day, see package learn.
CREATE TABLE learn_identity (
  identity BLOB    NOT NULL,
  node     TEXT    NOT NULL,
  scope    TEXT    NOT NULL,
  state    BLOB    NOT NULL,
  seen     INTEGER NOT NULL,
  PRIMARY KEY (identity, node)
) WITHOUT ROWID;
CREATE INDEX learn_identity_scope ON learn_identity (scope);
CREATE INDEX learn_identity_seen ON learn_identity (seen);

-- Whom a customer wrote to. recipient: 48 bits of a keyed hash. day: of the last delivery, up to a week late.
CREATE TABLE learn_recipient (
  scope     TEXT    NOT NULL,
  recipient INTEGER NOT NULL,
  day       INTEGER NOT NULL,
  PRIMARY KEY (scope, recipient)
) WITHOUT ROWID;
CREATE INDEX learn_recipient_day ON learn_recipient (day);

-- Texts that several identities sent to strangers in the last days. text: a fingerprint. first, last: in ten minutes. senders: numbers of
-- identities, with how many strangers each wrote to.
CREATE TABLE learn_text (
  text      INTEGER NOT NULL,
  node      TEXT    NOT NULL,
  first     INTEGER NOT NULL,
  last      INTEGER NOT NULL,
  messages  INTEGER NOT NULL,
  strangers INTEGER NOT NULL,
  fired     INTEGER NOT NULL,
  senders   BLOB    NOT NULL,
  PRIMARY KEY (text, node)
) WITHOUT ROWID;
CREATE INDEX learn_text_last ON learn_text (last);
