-- Which version was read how often, by hour, door and reader. API processes add to it; it is no fold of the log, and no replay
-- touches it. Hours that are long over become days.
CREATE TABLE usage (
    project_id  bigint      NOT NULL,
    hour        timestamptz NOT NULL,
    stream_id   uuid        NOT NULL,
    version     integer     NOT NULL,
    door        text        NOT NULL,
    -- Of the key or share; zeros for neither. A primary key holds no NULL.
    reader      uuid        NOT NULL,
    is_share    boolean     NOT NULL,
    -- Of the whole day that begins with the hour.
    whole_day   boolean     NOT NULL DEFAULT false,
    reads       bigint      NOT NULL,
    revalidated bigint      NOT NULL,
    first_at    timestamptz NOT NULL,
    last_at     timestamptz NOT NULL,
    PRIMARY KEY (project_id, hour, stream_id, version, door, reader)
) WITH (fillfactor = 80);
CREATE INDEX usage_of_artifact ON usage (stream_id, hour);
-- For the end of old hours: next to nothing, because rows come in the order of their hours.
CREATE INDEX usage_by_hour ON usage USING brin (hour);

-- The last batch of counts that each API process has added, so that one whose answer was lost is not added twice.
CREATE TABLE usage_writers (
    id       uuid        PRIMARY KEY,
    batch    bigint      NOT NULL,
    added_at timestamptz NOT NULL
);
