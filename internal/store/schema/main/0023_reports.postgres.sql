-- What reports tell that somebody must know. Written by the room aggregate only.

-- look: when somebody looks at what is reported of the domain, 0: nothing came since the last time.
ALTER TABLE aggregate_domain ADD COLUMN look BIGINT NOT NULL DEFAULT 0;
CREATE INDEX aggregate_domain_look ON aggregate_domain (look) WHERE look > 0;

-- What stands. code: "reports-source", "reports-share" or "reports-tls". args: what its sentences tell, JSON.
CREATE TABLE aggregate_trouble (
  domain TEXT    NOT NULL,
  code   TEXT    NOT NULL,
  since  BIGINT  NOT NULL,
  args   TEXT    NOT NULL,
  PRIMARY KEY (domain, code)
);
CREATE INDEX aggregate_trouble_code ON aggregate_trouble (code, since, domain);

-- The map of addresses is made anew when a row is newer than it. (Room postmaster.)
CREATE INDEX postmaster_snds_seen ON postmaster_snds (seen);
