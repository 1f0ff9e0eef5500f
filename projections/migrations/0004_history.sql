-- The feed and the audit of one project, in order, without visiting the events of others.
CREATE INDEX events_of_project ON events (project_id, position);

-- Earlier lives of a name, for reads of the past, the history of a name and restoring.
CREATE INDEX artifacts_lives ON artifacts (project_id, kind, name, created_position);

-- The latest version of a stream at a position of the log.
CREATE INDEX versions_by_position ON versions (stream_id, position);

-- Which stream held a name, from one position of the log to another; the present has no end.
CREATE TABLE name_spans (
    stream_id      uuid   NOT NULL,
    project_id     bigint NOT NULL,
    kind           text   NOT NULL,
    name           text   COLLATE "C" NOT NULL,
    since_position bigint NOT NULL,
    until_position bigint,
    PRIMARY KEY (stream_id, since_position)
);
CREATE INDEX name_spans_of_name ON name_spans (project_id, kind, name, since_position);
CREATE INDEX name_spans_of_project ON name_spans (project_id, kind, since_position);
INSERT INTO name_spans SELECT stream_id, project_id, kind, name, created_position, archived_position FROM artifacts;
