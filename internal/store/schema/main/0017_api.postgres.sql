-- Requests that carried an Idempotency-Key, with their answers. Written by the room api only.

-- key: SHA-256 of who asked and of his key, in hex. request: SHA-256 of method, path, query and body.
-- status: of the answer; 0: the act is under way, or its end was never written down. whole: the answer is kept and can be given again.
CREATE TABLE api_answer (
  key     TEXT    PRIMARY KEY,
  actor   TEXT    NOT NULL,
  request BYTEA   NOT NULL,
  made    BIGINT  NOT NULL,
  status  BIGINT  NOT NULL,
  whole   BIGINT  NOT NULL,
  kind    TEXT    NOT NULL,
  tag     TEXT    NOT NULL,
  answer  BYTEA   NOT NULL
);
CREATE INDEX api_answer_made  ON api_answer (made);
CREATE INDEX api_answer_actor ON api_answer (actor, made);
