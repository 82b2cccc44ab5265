-- Answers kept for repeated requests (Idempotency-Key). Written by the room api only.
CREATE TABLE api_answer (
  key  TEXT   PRIMARY KEY,
  made BIGINT NOT NULL
);
