-- Whether the mail that brought a report is authenticated as its reporter's. Written by the room aggregate only.
-- proof: "given" (brought in by a person), "authenticated", "unauthenticated", "mismatch" (authenticated as another than the reporter), "unknown" (the DNS gave no
-- answer); "" came before this was looked at, and counts. author: the domain of From that was judged.
-- unproven...: what part of a sum reports say whose mail is not authenticated. proven: 1 when another report tells of the day too.

ALTER TABLE aggregate_inbox ADD COLUMN hello  TEXT NOT NULL DEFAULT '';
ALTER TABLE aggregate_inbox ADD COLUMN path   TEXT NOT NULL DEFAULT '';
ALTER TABLE aggregate_inbox ADD COLUMN proof  TEXT NOT NULL DEFAULT '';
ALTER TABLE aggregate_inbox ADD COLUMN author TEXT NOT NULL DEFAULT '';
ALTER TABLE aggregate_inbox ADD COLUMN signed TEXT NOT NULL DEFAULT '';

-- content: SHA-256 of what the report says, in hex: the same report may come again with proof.
ALTER TABLE aggregate_report ADD COLUMN proof   TEXT NOT NULL DEFAULT '';
ALTER TABLE aggregate_report ADD COLUMN author  TEXT NOT NULL DEFAULT '';
ALTER TABLE aggregate_report ADD COLUMN content TEXT NOT NULL DEFAULT '';

-- policy_proven: 0 when only reports without proof tell the policy.
ALTER TABLE aggregate_domain ADD COLUMN policy_proven BIGINT  NOT NULL DEFAULT 1;
ALTER TABLE aggregate_domain ADD COLUMN unproven      BIGINT  NOT NULL DEFAULT 0;

ALTER TABLE aggregate_day ADD COLUMN unproven        BIGINT  NOT NULL DEFAULT 0;
ALTER TABLE aggregate_day ADD COLUMN unproven_passed BIGINT  NOT NULL DEFAULT 0;
ALTER TABLE aggregate_day ADD COLUMN proven          BIGINT  NOT NULL DEFAULT 1;

ALTER TABLE aggregate_source ADD COLUMN unproven           BIGINT  NOT NULL DEFAULT 0;
ALTER TABLE aggregate_source ADD COLUMN unproven_passed    BIGINT  NOT NULL DEFAULT 0;
ALTER TABLE aggregate_source ADD COLUMN unproven_forwarded BIGINT  NOT NULL DEFAULT 0;

ALTER TABLE aggregate_row ADD COLUMN unproven BIGINT  NOT NULL DEFAULT 0;

ALTER TABLE aggregate_tls ADD COLUMN unproven_successful BIGINT  NOT NULL DEFAULT 0;
ALTER TABLE aggregate_tls ADD COLUMN unproven_failed     BIGINT  NOT NULL DEFAULT 0;
ALTER TABLE aggregate_tls ADD COLUMN proven              BIGINT  NOT NULL DEFAULT 1;

ALTER TABLE aggregate_tls_failure ADD COLUMN unproven BIGINT  NOT NULL DEFAULT 0;

ALTER TABLE aggregate_failure  ADD COLUMN proof    TEXT    NOT NULL DEFAULT '';
ALTER TABLE aggregate_reporter ADD COLUMN unproven BIGINT  NOT NULL DEFAULT 0;
