-- People and programs that log in. Written by the room user only.
CREATE TABLE user_person (
  id      TEXT PRIMARY KEY,
  address TEXT NOT NULL UNIQUE
);
