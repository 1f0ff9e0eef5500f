-- The git repository of each project, made from the log when somebody fetches, and only ever extended.
CREATE TABLE git_repositories (
    project_id bigint  PRIMARY KEY,
    -- Every event of the project up to this position has its commit.
    position   bigint  NOT NULL,
    -- The last commit.
    sequence   integer NOT NULL
);

-- One line of commits; the first one, 0, is the same for all projects but for the project's number.
CREATE TABLE git_commits (
    project_id bigint  NOT NULL,
    sequence   integer NOT NULL,
    position   bigint  NOT NULL,
    -- Seconds since the epoch, as the commit has them.
    seconds    bigint  NOT NULL,
    oid        bytea   NOT NULL CHECK (octet_length(oid) = 20),
    tree       bytea   NOT NULL,
    -- The tree of all skills; NULL when there is none.
    skills     bytea,
    -- The ids, one after the other, of what this commit has and the one before it has not; its own comes first.
    objects    bytea   NOT NULL,
    PRIMARY KEY (project_id, sequence),
    CONSTRAINT git_commits_oid UNIQUE (project_id, oid)
);

CREATE TABLE git_objects (
    project_id bigint   NOT NULL,
    oid        bytea    NOT NULL CHECK (octet_length(oid) = 20),
    -- As packs number them: 1 commit, 2 tree, 3 blob.
    kind       smallint NOT NULL,
    -- Bytes of what is compressed in a pack: of the object, or of the delta.
    size       integer  NOT NULL,
    -- Either the compressed object, or the compressed delta against ``base``, ``depth`` steps from a whole object …
    packed     bytea,
    base       bytea,
    depth      smallint NOT NULL DEFAULT 0,
    -- … or a blob: ``start`` and then the bytes of contents, which are not stored twice.
    start      bytea,
    content    bytea,
    executable boolean  NOT NULL DEFAULT false,
    PRIMARY KEY (project_id, oid),
    CHECK ((packed IS NULL) = (content IS NOT NULL AND start IS NOT NULL)),
    CHECK ((base IS NULL) = (depth = 0))
);
-- The blob of a file's content.
CREATE INDEX git_objects_of_content ON git_objects (project_id, content) WHERE start = '';

-- It is compressed already, or ids.
ALTER TABLE git_objects ALTER COLUMN packed SET STORAGE EXTERNAL;
ALTER TABLE git_commits ALTER COLUMN objects SET STORAGE EXTERNAL;
