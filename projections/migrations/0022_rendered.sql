-- Up to which position of the log every version is known to have a rendering of at least this number, so that a start looks at later
-- ones alone. Of the table with this oid: a replay puts another in its place.
CREATE TABLE rendered (
    rendering smallint PRIMARY KEY,
    versions_oid oid NOT NULL,
    position bigint NOT NULL
);
