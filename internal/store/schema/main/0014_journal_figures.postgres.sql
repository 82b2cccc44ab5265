-- Facts counted by hour and by day (UTC), so that pages read figures instead of facts. Written by the room journal only; rows leave by age.
-- span is 1 for hours and 24 for days; at is the beginning of either. customer '' is everybody, facts without a customer among them.
-- kind is the kind of the facts, or, with a "=" before it, another figure (package journal, Figure).
CREATE TABLE journal_figure (
  customer TEXT NOT NULL,
  span     BIGINT NOT NULL,
  at       BIGINT NOT NULL,
  kind     TEXT NOT NULL,
  count    BIGINT NOT NULL,
  PRIMARY KEY (customer, span, at, kind)
);
CREATE INDEX journal_figure_at ON journal_figure (span, at);
-- Who sent most in some hours, from the index alone. A question must repeat the condition word by word (package journal, sqlTopTaken).
CREATE INDEX journal_figure_taken ON journal_figure (span, kind, at, customer, count) WHERE span = 1 AND kind = '=taken' AND customer <> '';

-- The same by who answered (package provider).
CREATE TABLE journal_figure_provider (
  customer TEXT NOT NULL,
  span     BIGINT NOT NULL,
  at       BIGINT NOT NULL,
  provider TEXT NOT NULL,
  kind     TEXT NOT NULL,
  count    BIGINT NOT NULL,
  PRIMARY KEY (customer, span, at, provider, kind)
);
CREATE INDEX journal_figure_provider_at ON journal_figure_provider (span, at);

-- Which tests fired: for everybody by hour and by day, for one customer by day and only where it cost points.
CREATE TABLE journal_figure_test (
  customer TEXT NOT NULL,
  span     BIGINT NOT NULL,
  at       BIGINT NOT NULL,
  test     TEXT NOT NULL,
  hits     BIGINT NOT NULL,
  points   BIGINT NOT NULL, -- thousandths, the sum
  PRIMARY KEY (customer, span, at, test)
);
CREATE INDEX journal_figure_test_at   ON journal_figure_test (span, at);
CREATE INDEX journal_figure_test_test ON journal_figure_test (test, customer, span, at);

-- How far the facts have been counted: one row.
CREATE TABLE journal_counted (
  one  BIGINT NOT NULL PRIMARY KEY,
  fact BIGINT NOT NULL, -- ID of the last fact that is in the figures
  at   BIGINT NOT NULL  -- when that fact happened
);
INSERT INTO journal_counted (one, fact, at) VALUES (1, 0, 0);

-- Facts of kinds that are rare, for lists of them. What each message leaves is not in it, so that taking and delivering mail costs nothing more.
-- A question must repeat the condition word by word (package journal, rareKinds).
CREATE INDEX journal_fact_rare ON journal_fact (kind, at, id)
 WHERE kind IN ('asked', 'complaint', 'dropped', 'lifted', 'listed', 'recovered', 'released', 'retested', 'tuned', 'unread');
