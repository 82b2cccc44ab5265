-- A dossier that was closed after its days of quiet stays closed: a later listing opens another, which names it. Written by the room reputation only.

-- former, later: the dossier of the same target and operator before and after this one; empty for none.
ALTER TABLE reputation_dossier ADD COLUMN former TEXT NOT NULL DEFAULT '';
ALTER TABLE reputation_dossier ADD COLUMN later  TEXT NOT NULL DEFAULT '';
DROP INDEX reputation_dossier_unit;
CREATE UNIQUE INDEX reputation_dossier_unit ON reputation_dossier (target, operator) WHERE later = '';
CREATE INDEX reputation_dossier_target ON reputation_dossier (target, changed, id);
