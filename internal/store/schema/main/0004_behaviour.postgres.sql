-- How senders behave. Written by the room learn only.

-- A key of this installation, made at the first start: whoever has not got it cannot tell whose hash a recipient's is.
CREATE TABLE learn_secret (
  name  TEXT    PRIMARY KEY,
  value BYTEA    NOT NULL,
  at    BIGINT NOT NULL
);

-- What one node counted of one identity. identity: a digest. state: counters per hour and day, see package learn.
CREATE TABLE learn_identity (
  identity BYTEA    NOT NULL,
  node     TEXT    NOT NULL,
  scope    TEXT    NOT NULL,
  state    BYTEA    NOT NULL,
  seen     BIGINT NOT NULL,
  PRIMARY KEY (identity, node)
);
CREATE INDEX learn_identity_scope ON learn_identity (scope);
CREATE INDEX learn_identity_seen ON learn_identity (seen);

-- Whom a customer wrote to. recipient: 48 bits of a keyed hash. day: of the last delivery, up to a week late.
CREATE TABLE learn_recipient (
  scope     TEXT    NOT NULL,
  recipient BIGINT NOT NULL,
  day       BIGINT NOT NULL,
  PRIMARY KEY (scope, recipient)
);
CREATE INDEX learn_recipient_day ON learn_recipient (day);

-- Texts that several identities sent to strangers in the last days. text: a fingerprint. first, last: in ten minutes. senders: numbers of
-- identities, with how many strangers each wrote to.
CREATE TABLE learn_text (
  text      BIGINT NOT NULL,
  node      TEXT    NOT NULL,
  first     BIGINT NOT NULL,
  last      BIGINT NOT NULL,
  messages  BIGINT NOT NULL,
  strangers BIGINT NOT NULL,
  fired     BIGINT NOT NULL,
  senders   BYTEA    NOT NULL,
  PRIMARY KEY (text, node)
);
CREATE INDEX learn_text_last ON learn_text (last);
