-- What experience taught: words of spam and of wanted mail, and how senders behaved. Written by the room learn only.

-- scope: a customer's id, or the empty text for what counts for all. token: the low 40 bits of the SHA-1 of a token.
-- spam, ham: learned messages that hold it. seen: the day of its last use.
CREATE TABLE learn_token (
  token INTEGER NOT NULL,
  scope TEXT    NOT NULL,
  spam  INTEGER NOT NULL,
  ham   INTEGER NOT NULL,
  seen  INTEGER NOT NULL,
  PRIMARY KEY (token, scope)
) WITHOUT ROWID;

-- How many messages of each class a scope has learned.
CREATE TABLE learn_scope (
  scope TEXT    PRIMARY KEY,
  spam  INTEGER NOT NULL,
  ham   INTEGER NOT NULL
) WITHOUT ROWID;

-- Which messages were learned, so that none counts twice and each can be taken back. message: a digest.
CREATE TABLE learn_message (
  scope   TEXT    NOT NULL,
  message BLOB    NOT NULL,
  class   TEXT    NOT NULL,
  at      INTEGER NOT NULL,
  PRIMARY KEY (scope, message)
) WITHOUT ROWID;
CREATE INDEX learn_message_at ON learn_message (at);

-- How a sender's messages scored. sender: a digest of From address, network and who answers for it. count: how many messages.
CREATE TABLE learn_sender (
  sender BLOB    NOT NULL PRIMARY KEY,
  scope  TEXT    NOT NULL,
  mean   REAL    NOT NULL,
  count  REAL    NOT NULL,
  seen   INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX learn_sender_scope ON learn_sender (scope);
