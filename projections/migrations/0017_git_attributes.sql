-- From which position of the log on the commits of git have attributes of git's at the root. One row; 0 for a new database.
-- Commits that an older release made lack them, and keep their ids: this is no part of what is made anew from the log.
CREATE TABLE git_attributes (
    one   boolean PRIMARY KEY DEFAULT true CHECK (one),
    since bigint  NOT NULL
);
INSERT INTO git_attributes (since) SELECT coalesce(max(position) + 1, 0) FROM events;
