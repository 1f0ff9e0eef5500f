-- Secret addresses by which the skills of one project are read without a key.
CREATE TABLE shares (
    id         uuid        PRIMARY KEY,
    project_id bigint      NOT NULL REFERENCES projects,
    -- SHA-256 of the token: 256 random bits need no salt and no slow hash.
    digest     bytea       NOT NULL CONSTRAINT shares_digest UNIQUE CHECK (octet_length(digest) = 32),
    label      text        NOT NULL DEFAULT '',
    -- The first characters, to tell shares apart in a list.
    prefix     text        NOT NULL,
    -- The user who made it; NULL from the command line of the host.
    created_by bigint,
    created_at timestamptz NOT NULL,
    expires_at timestamptz,
    revoked_at timestamptz
);
CREATE INDEX shares_of_project ON shares (project_id, created_at, id);

-- SHA-256 of the archive of a tree, so that an index of a thousand skills packs none of them. A cache: it may be emptied.
CREATE TABLE archive_digests (
    -- The digest of a skill: that of its SKILL.md and all files.
    tree   bytea    NOT NULL CHECK (octet_length(tree) = 32),
    -- How archives are written (projections.discovery).
    format smallint NOT NULL,
    digest bytea    NOT NULL CHECK (octet_length(digest) = 32),
    PRIMARY KEY (tree, format)
);
