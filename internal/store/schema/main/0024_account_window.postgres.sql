-- What credentials sent lately, for limits that move with the clock. Written by the room account only.

-- slots: counts by five minutes of the last hour and by half hours of the last day, as account.window packs them. latest: end of the last slot.
CREATE TABLE account_window (
  credential TEXT    PRIMARY KEY,
  latest     BIGINT  NOT NULL,
  slots      BYTEA   NOT NULL
);

-- The hour of account_use served limits by the hour of the clock.
ALTER TABLE account_use DROP COLUMN hour_messages;
ALTER TABLE account_use DROP COLUMN hour;
