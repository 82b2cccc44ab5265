-- Webhooks and how far each has read the journal. Written by the room webhook only.
CREATE TABLE webhook_hook (
  id  TEXT PRIMARY KEY,
  url TEXT NOT NULL
);
