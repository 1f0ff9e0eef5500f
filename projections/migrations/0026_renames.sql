-- What a version was rendered as until a rename: the position of that event. The package in versions is the present one.
CREATE TABLE earlier_packages (
    stream_id      uuid    NOT NULL,
    number         integer NOT NULL,
    until_position bigint  NOT NULL,
    package        bytea   NOT NULL,
    PRIMARY KEY (stream_id, number, until_position)
);
