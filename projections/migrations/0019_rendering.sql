-- Which RENDERING (projections/encoding.py) a version was rendered by: what is older than today's is rendered anew from the log.
ALTER TABLE versions ADD COLUMN rendering smallint NOT NULL DEFAULT 1;
-- Written before packages were.
UPDATE versions SET rendering = 0 WHERE package IS NULL AND manifest IS NOT NULL;
DROP INDEX versions_without_package;
