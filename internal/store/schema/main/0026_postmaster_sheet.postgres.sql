-- The map of addresses reads days instead of rows. Written by the room postmaster only.

-- What the map needs of all rows of one day in few bytes (package postmaster, sheet.go). Every day of which there are rows has a sheet, written in the transaction
-- that changes them. packed 0: the rows are read themselves, until they are packed behind the back of the pages.
CREATE TABLE postmaster_sheet (
  day    BIGINT NOT NULL PRIMARY KEY,
  packed BIGINT NOT NULL,
  cells  BYTEA  NOT NULL
);
-- They are small as they are; compressing them would cost each reader more than it saves.
ALTER TABLE postmaster_sheet ALTER COLUMN cells SET STORAGE EXTERNAL;
CREATE INDEX postmaster_sheet_unpacked ON postmaster_sheet (day) WHERE packed = 0;
INSERT INTO postmaster_sheet (day, packed, cells) SELECT DISTINCT day, 0, ''::bytea FROM postmaster_snds;

-- Nobody asks any more which row came last.
DROP INDEX postmaster_snds_seen;
