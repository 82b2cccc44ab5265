-- What the operator was told of, when, and when it ended. Written by the room alarm only.

-- id: a queue id made of raised, so that lines sort by it. cleared: 0: not ended. once: 1: it has no end. live: 1: what comes under this key belongs to
-- this line, so that two nodes write one. args: JSON, the words' arguments as they were told. told: to whom, JSON. again: how often it was told again, latest: when last told.
CREATE TABLE alarm_history (
  id       TEXT    PRIMARY KEY,
  key      TEXT    NOT NULL,
  severity TEXT    NOT NULL,
  code     TEXT    NOT NULL,
  args     TEXT    NOT NULL,
  raised   INTEGER NOT NULL,
  cleared  INTEGER NOT NULL,
  once     INTEGER NOT NULL,
  live     INTEGER NOT NULL,
  told     TEXT    NOT NULL,
  again    INTEGER NOT NULL,
  latest   INTEGER NOT NULL
) WITHOUT ROWID;
CREATE UNIQUE INDEX alarm_history_live ON alarm_history (key) WHERE live = 1;
CREATE INDEX alarm_history_code ON alarm_history (code, id);
