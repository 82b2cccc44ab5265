-- Facts counted by hour, so that pages read figures instead of facts. Written by the room journal only.
CREATE TABLE journal_hour (
  customer TEXT   NOT NULL,
  hour     BIGINT NOT NULL,
  kind     TEXT   NOT NULL,
  count    BIGINT NOT NULL,
  PRIMARY KEY (customer, hour, kind)
);
