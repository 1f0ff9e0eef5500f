-- Versions that were yanked, from one position of the log to another; the present has no end.
CREATE TABLE yanks (
    stream_id      uuid        NOT NULL,
    number         integer     NOT NULL,
    since_position bigint      NOT NULL,
    until_position bigint,
    yanked_at      timestamptz NOT NULL,
    yanked_by      bigint,
    reason         text        NOT NULL,
    PRIMARY KEY (stream_id, number, since_position)
);
