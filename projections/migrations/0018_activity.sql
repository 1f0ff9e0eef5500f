-- What was published: versions that came into being, by UTC day, stream and author. Kept by a follower (the projection "activity"),
-- which begins at the start of the log.
CREATE TABLE activity (
    project_id bigint      NOT NULL,
    day        date        NOT NULL,
    stream_id  uuid        NOT NULL,
    -- 0: no user. A primary key holds no NULL.
    author     bigint      NOT NULL,
    kind       text        NOT NULL,
    publishes  bigint      NOT NULL,
    first_at   timestamptz NOT NULL,
    last_at    timestamptz NOT NULL,
    PRIMARY KEY (project_id, day, stream_id, author)
);
