-- What a credential may, and what it did. Written by the room account only.

-- Most messages of an hour and a day, most recipients of a day; 0: no limit. networks: client networks it is taken from, separated by spaces;
-- '': from anywhere. used, used_ip: when and from where it last brought mail, to about a minute; 0 and '': never.
ALTER TABLE account_credential ADD COLUMN messages_hour  BIGINT NOT NULL DEFAULT 0;
ALTER TABLE account_credential ADD COLUMN messages_day   BIGINT NOT NULL DEFAULT 0;
ALTER TABLE account_credential ADD COLUMN recipients_day BIGINT NOT NULL DEFAULT 0;
ALTER TABLE account_credential ADD COLUMN networks       TEXT   NOT NULL DEFAULT '';
ALTER TABLE account_credential ADD COLUMN used           BIGINT NOT NULL DEFAULT 0;
ALTER TABLE account_credential ADD COLUMN used_ip        TEXT   NOT NULL DEFAULT '';

-- By credential and day (UTC, days since 1970), all nodes together: messages that were taken, their recipients, messages that were refused.
-- hour is the latest hour (since 1970) with messages, hour_messages what it had: the limit by the hour outlives a restart by it.
CREATE TABLE account_use (
  credential    TEXT   NOT NULL,
  day           BIGINT NOT NULL,
  messages      BIGINT NOT NULL,
  recipients    BIGINT NOT NULL,
  refused       BIGINT NOT NULL,
  hour          BIGINT NOT NULL,
  hour_messages BIGINT NOT NULL,
  used          BIGINT NOT NULL,
  used_ip       TEXT   NOT NULL,
  PRIMARY KEY (credential, day)
);
CREATE INDEX account_use_day ON account_use (day);
