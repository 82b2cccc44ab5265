-- What guessing has shut, for all nodes and over a restart. Written by the room guess only.

-- gate: which gate. name: digest of a user's name in hex, or a network. ends: it is shut until then. forget: nothing is left of it then.
-- known: networks the user is let in from all the same, JSON.
CREATE TABLE guess_lock (
  gate   TEXT    NOT NULL,
  name   TEXT    NOT NULL,
  count  BIGINT  NOT NULL,
  last   BIGINT  NOT NULL,
  ends   BIGINT  NOT NULL,
  forget BIGINT  NOT NULL,
  known  TEXT    NOT NULL,
  PRIMARY KEY (gate, name)
);
CREATE INDEX guess_lock_forget ON guess_lock (forget);
