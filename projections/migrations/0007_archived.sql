-- The list of what can be restored, the last archived first.
CREATE INDEX artifacts_archived ON artifacts (project_id, kind, archived_position) WHERE archived_position IS NOT NULL;
