-- What blocklists say of our addresses and domains. Written by the room reputation only.

CREATE TABLE reputation_target (
  target TEXT PRIMARY KEY
);
