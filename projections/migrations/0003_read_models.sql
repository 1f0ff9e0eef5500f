CREATE EXTENSION IF NOT EXISTS pg_trgm;
-- One GIN index over project and text: a search never visits the rows of another project.
CREATE EXTENSION IF NOT EXISTS btree_gin;

-- Who holds a name now. The primary key, not a check, makes names unique.
CREATE TABLE active_names (
    project_id bigint NOT NULL,
    kind       text   NOT NULL,
    name       text   COLLATE "C" NOT NULL,
    stream_id  uuid   NOT NULL,
    CONSTRAINT active_names_pkey PRIMARY KEY (project_id, kind, name)
);

-- One row for each life of a name, archived ones included.
CREATE TABLE artifacts (
    stream_id         uuid        PRIMARY KEY,
    project_id        bigint      NOT NULL,
    kind              text        NOT NULL,
    name              text        COLLATE "C" NOT NULL,
    created_position  bigint      NOT NULL,
    created_at        timestamptz NOT NULL,
    archived_position bigint,
    archived_at       timestamptz,
    -- The latest version, so that a list page reads this table and the contents alone.
    latest_version    integer     NOT NULL,
    latest_id         uuid        NOT NULL,
    latest_at         timestamptz NOT NULL,
    latest_by         bigint,
    body              bytea       NOT NULL,
    details           bytea       NOT NULL,
    outline           bytea
);

-- One for each order of the list; the ties of the first two are broken by id.
CREATE INDEX artifacts_by_time ON artifacts (project_id, kind, latest_at, latest_id) WHERE archived_position IS NULL;
CREATE INDEX artifacts_by_version ON artifacts (project_id, kind, latest_version, latest_id)
    WHERE archived_position IS NULL;
CREATE INDEX artifacts_by_name ON artifacts (project_id, kind, name, latest_id) WHERE archived_position IS NULL;
CREATE INDEX artifacts_by_author ON artifacts (project_id, kind, latest_by, latest_at, latest_id)
    WHERE archived_position IS NULL;

-- One row a version, never changed. Digests point into contents.
CREATE TABLE versions (
    stream_id      uuid        NOT NULL,
    number         integer     NOT NULL,
    id             uuid        NOT NULL,
    stream_version integer     NOT NULL,
    position       bigint      NOT NULL,
    created_at     timestamptz NOT NULL,
    created_by     bigint,
    body           bytea       NOT NULL,
    details        bytea       NOT NULL,
    outline        bytea,
    manifest       bytea,
    PRIMARY KEY (stream_id, number),
    CONSTRAINT versions_id UNIQUE (id)
);
-- The answer to a repeated request is rendered from the version that its event brought.
CREATE UNIQUE INDEX versions_by_event ON versions (stream_id, stream_version);

-- Folded text of the latest versions, in a table of its own so that a publish that leaves it alone does not touch the index.
CREATE TABLE search_texts (
    stream_id  uuid   PRIMARY KEY,
    project_id bigint NOT NULL,
    kind       text   NOT NULL,
    name       text   COLLATE "C" NOT NULL,
    text       text   COLLATE "C" NOT NULL
);
-- fastupdate off: no insert pays for flushing the pending list of all before it (p99 20 instead of 49 ms at 32 writers).
CREATE INDEX search_texts_trigrams ON search_texts
    USING gin (project_id, kind, name gin_trgm_ops, text gin_trgm_ops) WITH (fastupdate = off);

-- Which version a label points to, from one position of the log to another; the present has no end.
CREATE TABLE labels (
    stream_id      uuid        NOT NULL,
    name           text        COLLATE "C" NOT NULL,
    number         integer     NOT NULL,
    since_position bigint      NOT NULL,
    until_position bigint,
    set_at         timestamptz NOT NULL,
    set_by         bigint,
    PRIMARY KEY (stream_id, name, since_position)
);
-- At most one version a label, found by label (first index) or by version (second).
CREATE UNIQUE INDEX labels_now ON labels (stream_id, name) WHERE until_position IS NULL;
CREATE INDEX labels_of_version ON labels (stream_id, number) WHERE until_position IS NULL;

-- How many active names a project has, so that the first page of a list does not count them.
CREATE TABLE artifact_counts (
    project_id bigint  NOT NULL,
    kind       text    NOT NULL,
    active     bigint  NOT NULL,
    PRIMARY KEY (project_id, kind)
) WITH (fillfactor = 50);
