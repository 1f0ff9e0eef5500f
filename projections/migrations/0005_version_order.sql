-- The list by version, lowest first: all ties have to come out by id, highest first, without sorting a whole project.
CREATE INDEX artifacts_by_version_up ON artifacts (project_id, kind, latest_version, latest_id DESC)
    WHERE archived_position IS NULL;
