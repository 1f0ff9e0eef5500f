-- The feed and the audit of one project, in order, without visiting the events of others.
CREATE INDEX events_of_project ON events (project_id, position);

-- Earlier lives of a name, for reads of the past, the history of a name and restoring.
CREATE INDEX artifacts_lives ON artifacts (project_id, kind, name, created_position);

-- The latest version of a stream at a position of the log.
CREATE INDEX versions_by_position ON versions (stream_id, position);
