-- What receivers report about our domains. Written by the room aggregate only.

CREATE TABLE aggregate_report (
  id TEXT PRIMARY KEY
);
