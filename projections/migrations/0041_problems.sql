-- Whether the package of a version says that something should be better about it: a list of what has problems looks into no package.
ALTER TABLE versions ADD COLUMN has_problems boolean NOT NULL DEFAULT false;
ALTER TABLE artifacts ADD COLUMN has_problems boolean NOT NULL DEFAULT false;
-- The first line of a package is its summary, where texts of others have no quotes that are not escaped.
UPDATE versions SET has_problems = true
FROM contents
WHERE contents.digest = versions.package
  AND position('"spec_problems":[]'::bytea IN substring(bytes FROM 1 FOR position('\x0a'::bytea IN bytes))) = 0;
UPDATE artifacts SET has_problems = true
FROM versions
WHERE versions.stream_id = artifacts.stream_id AND versions.number = artifacts.latest_version AND versions.has_problems;
-- Those without problems are not in it, so that publishing them costs no more.
CREATE INDEX artifacts_with_problems ON artifacts (project_id, kind, latest_at, latest_id)
    WHERE archived_position IS NULL AND has_problems;
