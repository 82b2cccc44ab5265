-- What each credential sent, by day. Written by the room account only.
CREATE TABLE account_use (
  credential TEXT   NOT NULL,
  day        BIGINT NOT NULL,
  messages   BIGINT NOT NULL,
  PRIMARY KEY (credential, day)
);
