-- What the answer of a fact means (package provider), from whom, and on which lane. NULL where there is no answer.
ALTER TABLE journal_fact ADD COLUMN category TEXT;
ALTER TABLE journal_fact ADD COLUMN party    TEXT;
ALTER TABLE journal_fact ADD COLUMN rule     TEXT;
ALTER TABLE journal_fact ADD COLUMN provider TEXT;
ALTER TABLE journal_fact ADD COLUMN lane     TEXT;
