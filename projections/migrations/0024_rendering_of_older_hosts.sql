-- A host of an older release goes on writing beside this one for a while. What it writes names no rendering: it is rendered anew.
ALTER TABLE versions ALTER COLUMN rendering SET DEFAULT 0;
-- What such hosts have written since the column came: it has no package, or is not known to have the right one.
UPDATE versions SET rendering = 0 WHERE package IS NULL AND manifest IS NOT NULL AND rendering > 0;
