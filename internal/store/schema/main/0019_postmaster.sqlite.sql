-- What providers publish about our addresses and domains. Written by the room postmaster only.

CREATE TABLE postmaster_source (
  name TEXT PRIMARY KEY
);
