-- Alarms that stand, and what webhooks have not taken. Written by the room alarm only.

-- args: JSON. told: when the operator last heard of it by mail.
CREATE TABLE alarm_raised (
  key      TEXT    PRIMARY KEY,
  severity TEXT    NOT NULL,
  code     TEXT    NOT NULL,
  args     TEXT    NOT NULL,
  since    BIGINT  NOT NULL,
  told     BIGINT  NOT NULL
);

-- id: a queue id, so that posts sort by when they were made. body: JSON as it is sent.
CREATE TABLE alarm_post (
  hook     TEXT    NOT NULL,
  id       TEXT    NOT NULL,
  body     BYTEA   NOT NULL,
  made     BIGINT  NOT NULL,
  attempts BIGINT  NOT NULL,
  next_at  BIGINT  NOT NULL,
  PRIMARY KEY (hook, id)
);
