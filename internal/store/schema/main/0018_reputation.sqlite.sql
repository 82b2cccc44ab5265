-- What blocklists say of our addresses and domains, and the dossiers of their listings. Written by the room reputation only.

-- What is watched: each egress address and domain, and addresses of ranges that are or were listed. roles: words with spaces between. seen: when a node last
-- had it among what it watches. next: when it is looked at again; a node that takes it moves next first.
-- weight, lists: the worst weight and the number of open listings that count. unknown: lists that gave no answer at the last look.
CREATE TABLE reputation_target (
  target   TEXT    PRIMARY KEY,
  kind     TEXT    NOT NULL,
  roles    TEXT    NOT NULL,
  customer TEXT    NOT NULL,
  since    INTEGER NOT NULL,
  seen     INTEGER NOT NULL,
  checked  INTEGER NOT NULL,
  next     INTEGER NOT NULL,
  weight   INTEGER NOT NULL,
  lists    INTEGER NOT NULL,
  unknown  INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX reputation_target_next     ON reputation_target (next) WHERE next > 0;
CREATE INDEX reputation_target_customer ON reputation_target (customer, target) WHERE customer <> '';
CREATE INDEX reputation_target_listed   ON reputation_target (target) WHERE lists > 0;

-- What each list says of an own target now, JSON: apart, so that lists of targets are read quickly.
CREATE TABLE reputation_zone (
  target TEXT  PRIMARY KEY,
  zones  BLOB  NOT NULL
) WITHOUT ROWID;

-- One stay of a target on one list. until 0: it lasts. heard: last time the list named it. answered: last true answer of either kind.
-- cleared: first clean answer after that, 0 none. block: the /24 or /120 of an address. dossier: empty when none is open for it.
CREATE TABLE reputation_listing (
  id       TEXT    PRIMARY KEY,
  target   TEXT    NOT NULL,
  zone     TEXT    NOT NULL,
  list     TEXT    NOT NULL,
  operator TEXT    NOT NULL,
  weight   INTEGER NOT NULL,
  wide     INTEGER NOT NULL,
  own      INTEGER NOT NULL,
  customer TEXT    NOT NULL,
  codes    TEXT    NOT NULL,
  names    TEXT    NOT NULL,
  reason   TEXT    NOT NULL,
  since    INTEGER NOT NULL,
  heard    INTEGER NOT NULL,
  answered INTEGER NOT NULL,
  cleared  INTEGER NOT NULL,
  until    INTEGER NOT NULL,
  block    TEXT    NOT NULL,
  dossier  TEXT    NOT NULL
) WITHOUT ROWID;
CREATE UNIQUE INDEX reputation_listing_open  ON reputation_listing (target, zone) WHERE until = 0;
CREATE INDEX reputation_listing_now     ON reputation_listing (id) WHERE until = 0;
CREATE INDEX reputation_listing_customer ON reputation_listing (customer, id) WHERE customer <> '';
CREATE INDEX reputation_listing_block   ON reputation_listing (block) WHERE until = 0 AND block <> '';
CREATE INDEX reputation_listing_target  ON reputation_listing (target, id);
CREATE INDEX reputation_listing_dossier ON reputation_listing (dossier, id) WHERE dossier <> '';
CREATE INDEX reputation_listing_until   ON reputation_listing (until) WHERE until > 0;

-- What changed. The ids of listings, events and acts grow with time.
CREATE TABLE reputation_event (
  id       TEXT    PRIMARY KEY,
  at       INTEGER NOT NULL,
  target   TEXT    NOT NULL,
  kind     TEXT    NOT NULL,
  zone     TEXT    NOT NULL,
  list     TEXT    NOT NULL,
  operator TEXT    NOT NULL,
  weight   INTEGER NOT NULL,
  names    TEXT    NOT NULL,
  text     TEXT    NOT NULL,
  dossier  TEXT    NOT NULL
) WITHOUT ROWID;
CREATE INDEX reputation_event_target ON reputation_event (target, id);

-- What a day (UTC, its number since 1970) showed of the 256 addresses of a block, or of one domain: 4 bytes each (package reputation, Day).
CREATE TABLE reputation_day (
  block TEXT    NOT NULL,
  day   INTEGER NOT NULL,
  marks BLOB    NOT NULL,
  PRIMARY KEY (block, day)
) WITHOUT ROWID;
CREATE INDEX reputation_day_day ON reputation_day (day);

-- How far the round through a range has come. position: the offset of the next address. last_*: of the round that ended last.
CREATE TABLE reputation_round (
  network   TEXT    PRIMARY KEY,
  size      INTEGER NOT NULL,
  started   INTEGER NOT NULL,
  position  INTEGER NOT NULL,
  listed    INTEGER NOT NULL,
  unknown   INTEGER NOT NULL,
  zones     BLOB    NOT NULL,
  last_start   INTEGER NOT NULL,
  last_end     INTEGER NOT NULL,
  last_listed  INTEGER NOT NULL,
  last_unknown INTEGER NOT NULL,
  last_zones   BLOB    NOT NULL
) WITHOUT ROWID;

-- Which node does what only one may do at a time.
CREATE TABLE reputation_lease (
  name  TEXT    PRIMARY KEY,
  node  TEXT    NOT NULL,
  until INTEGER NOT NULL
) WITHOUT ROWID;

-- One dossier for each target and operator of lists. listed: since when; clean: since when not any more, 0 it is. quiet: how long it has been clean by
-- answers that came, up to quiet_at. look: when the evidence is gathered (anew), 0 not by itself. due: when somebody is reminded. evidence, causes: JSON.
CREATE TABLE reputation_dossier (
  id       TEXT    PRIMARY KEY,
  target   TEXT    NOT NULL,
  operator TEXT    NOT NULL,
  kind     TEXT    NOT NULL,
  customer TEXT    NOT NULL,
  list     TEXT    NOT NULL,
  weight   INTEGER NOT NULL,
  state    TEXT    NOT NULL,
  opened   INTEGER NOT NULL,
  changed  INTEGER NOT NULL,
  listed   INTEGER NOT NULL,
  clean    INTEGER NOT NULL,
  quiet    INTEGER NOT NULL,
  quiet_at INTEGER NOT NULL,
  times    INTEGER NOT NULL,
  look     INTEGER NOT NULL,
  due      INTEGER NOT NULL,
  gathered INTEGER NOT NULL,
  causes   BLOB    NOT NULL,
  evidence BLOB    NOT NULL
) WITHOUT ROWID;
CREATE UNIQUE INDEX reputation_dossier_unit ON reputation_dossier (target, operator);
CREATE INDEX reputation_dossier_state    ON reputation_dossier (state, changed, id);
CREATE INDEX reputation_dossier_changed  ON reputation_dossier (changed, id);
CREATE INDEX reputation_dossier_look     ON reputation_dossier (look) WHERE look > 0;
CREATE INDEX reputation_dossier_customer ON reputation_dossier (customer, changed, id) WHERE customer <> '';

-- What was done in a dossier, by whom: a person, or "rule".
CREATE TABLE reputation_act (
  id      TEXT    PRIMARY KEY,
  dossier TEXT    NOT NULL,
  at      INTEGER NOT NULL,
  kind    TEXT    NOT NULL,
  actor   TEXT    NOT NULL,
  step    TEXT    NOT NULL,
  text    TEXT    NOT NULL
) WITHOUT ROWID;
CREATE INDEX reputation_act_dossier ON reputation_act (dossier, id);

-- Steps of the checklist that were ticked.
CREATE TABLE reputation_step (
  dossier TEXT    NOT NULL,
  step    TEXT    NOT NULL,
  at      INTEGER NOT NULL,
  actor   TEXT    NOT NULL,
  note    TEXT    NOT NULL,
  PRIMARY KEY (dossier, step)
) WITHOUT ROWID;
