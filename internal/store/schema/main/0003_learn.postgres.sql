-- What experience taught: words of spam and of wanted mail, and how senders behaved. Written by the room learn only.

-- scope: a customer's id, or the empty text for what counts for all. token: the low 40 bits of the SHA-1 of a token.
-- spam, ham: learned messages that hold it. seen: the day of its last use.
CREATE TABLE learn_token (
  token BIGINT  NOT NULL,
  scope TEXT    NOT NULL,
  spam  BIGINT  NOT NULL,
  ham   BIGINT  NOT NULL,
  seen  BIGINT  NOT NULL,
  PRIMARY KEY (token, scope)
);

-- How many messages of each class a scope has learned.
CREATE TABLE learn_scope (
  scope TEXT    PRIMARY KEY,
  spam  BIGINT  NOT NULL,
  ham   BIGINT  NOT NULL
);

-- Which messages were learned, so that none counts twice and each can be taken back. message: a digest.
CREATE TABLE learn_message (
  scope   TEXT    NOT NULL,
  message BYTEA   NOT NULL,
  class   TEXT    NOT NULL,
  at      BIGINT  NOT NULL,
  PRIMARY KEY (scope, message)
);
CREATE INDEX learn_message_at ON learn_message (at);

-- How a sender's messages scored. sender: a digest of From address, network and who answers for it. count: how many messages.
CREATE TABLE learn_sender (
  sender BYTEA   NOT NULL PRIMARY KEY,
  scope  TEXT    NOT NULL,
  mean   DOUBLE PRECISION NOT NULL,
  count  DOUBLE PRECISION NOT NULL,
  seen   BIGINT  NOT NULL
);
CREATE INDEX learn_sender_scope ON learn_sender (scope);
