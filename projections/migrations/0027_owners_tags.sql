-- The users who answer for an artifact, from one position of the log to another; the present has no end.
CREATE TABLE owners (
    stream_id      uuid     NOT NULL,
    user_id        bigint   NOT NULL,
    project_id     bigint   NOT NULL,
    kind           text     NOT NULL,
    -- Where it stands in the list that was set, from 1.
    place          smallint NOT NULL,
    since_position bigint   NOT NULL,
    until_position bigint,
    PRIMARY KEY (stream_id, since_position, user_id)
);
-- Those of the past, too: they are few, and without statistics an index of the present alone is taken for one of streams.
CREATE INDEX owners_of_user ON owners (project_id, kind, user_id, stream_id);

-- What an artifact is tagged with, in the same way.
CREATE TABLE tags (
    stream_id      uuid   NOT NULL,
    name           text   COLLATE "C" NOT NULL,
    project_id     bigint NOT NULL,
    kind           text   NOT NULL,
    since_position bigint NOT NULL,
    until_position bigint,
    PRIMARY KEY (stream_id, since_position, name)
);
CREATE INDEX tags_by_name ON tags (project_id, kind, name, stream_id);

-- What was created before belongs to the user who created it.
INSERT INTO owners (stream_id, user_id, project_id, kind, place, since_position)
SELECT stream_id, versions.created_by, project_id, kind, 1, versions.position
FROM versions JOIN artifacts USING (stream_id)
WHERE versions.number = 1 AND versions.created_by IS NOT NULL;
