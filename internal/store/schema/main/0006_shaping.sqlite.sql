-- What shaping must still know after a restart: what is in force on a lane, how much of a provider's hour and day is used, how far the
-- warm-up of an address has come. Written by the room shaping only. node: the gateway node whose addresses these are.

-- ended 0: in force. lasts: microseconds, how long it stands each time before a probe. customer: the empty text for everybody. why: shaping.Why as text. pace: messages a minute at most, 0 = none.
CREATE TABLE shaping_reaction (
  id          TEXT    NOT NULL PRIMARY KEY,
  node        TEXT    NOT NULL,
  lane        TEXT    NOT NULL,
  kind        TEXT    NOT NULL,
  customer    TEXT    NOT NULL,
  why         TEXT    NOT NULL,
  rule        TEXT    NOT NULL,
  evidence    TEXT    NOT NULL,
  started     INTEGER NOT NULL,
  ends        INTEGER NOT NULL,
  lasts       INTEGER NOT NULL,
  factor      REAL    NOT NULL,
  pace        REAL    NOT NULL,
  connections INTEGER NOT NULL,
  probe       INTEGER NOT NULL,
  bulk_only   INTEGER NOT NULL,
  actor       TEXT    NOT NULL,
  ended       INTEGER NOT NULL,
  ended_by    TEXT    NOT NULL
) WITHOUT ROWID;
CREATE INDEX shaping_reaction_ended ON shaping_reaction (node, ended);

-- Messages of a lane by slot of time. span: length of a slot in seconds; slot: number of the slot since 1970.
CREATE TABLE shaping_count (
  node TEXT    NOT NULL,
  lane TEXT    NOT NULL,
  span INTEGER NOT NULL,
  slot INTEGER NOT NULL,
  n    INTEGER NOT NULL,
  PRIMARY KEY (node, lane, span, slot)
) WITHOUT ROWID;

-- ahead: messages that may have left after the counts were saved; 0 after an end in order.
CREATE TABLE shaping_lane (
  node  TEXT    NOT NULL,
  lane  TEXT    NOT NULL,
  ahead INTEGER NOT NULL,
  saved INTEGER NOT NULL,
  PRIMARY KEY (node, lane)
) WITHOUT ROWID;

-- A day of an address towards a provider. day: days since 1970 (UTC). blocked: refused because of our address or pace.
CREATE TABLE shaping_day (
  node     TEXT    NOT NULL,
  egress   TEXT    NOT NULL,
  provider TEXT    NOT NULL,
  day      INTEGER NOT NULL,
  accepted INTEGER NOT NULL,
  deferred INTEGER NOT NULL,
  blocked  INTEGER NOT NULL,
  PRIMARY KEY (node, egress, provider, day)
) WITHOUT ROWID;

-- How far the warm-up of an address has come towards a provider. day: the latest day that was judged.
CREATE TABLE shaping_warm (
  node     TEXT    NOT NULL,
  egress   TEXT    NOT NULL,
  provider TEXT    NOT NULL,
  step     INTEGER NOT NULL,
  day      INTEGER NOT NULL,
  PRIMARY KEY (node, egress, provider)
) WITHOUT ROWID;
