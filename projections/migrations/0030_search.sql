-- What `search` looks through, kept by a follower (the projection "search"), which begins at the start of the log. Case, accents
-- and words are taken apart in Python (projections/write/words.py), so that no locale and no dictionary of the database decides
-- what is found. What is archived stays: a search joins artifacts, where it is.

-- What each stream says in which of its versions: a name (of all versions), descriptions, bodies, paths and contents of files.
CREATE TABLE search_entries (
    stream_id  uuid     NOT NULL,
    -- 1 name, 2 description, 3 body, 4 path of a file, 5 content of a file.
    field      smallint NOT NULL,
    -- Of the file; empty for what is none.
    path       text     COLLATE "C" NOT NULL,
    -- The first version that has it, and the first one after it that has not; the latest version has what has no end.
    since      integer  NOT NULL,
    until      integer,
    project_id bigint   NOT NULL,
    digest     bytea    NOT NULL,
    PRIMARY KEY (stream_id, field, path, since)
);
CREATE INDEX search_entries_of_digest ON search_entries (project_id, digest);

-- Each text once in a project, in parts that overlap.
CREATE TABLE search_parts (
    project_id bigint   NOT NULL,
    digest     bytea    NOT NULL,
    part       smallint NOT NULL,
    -- Whether the latest version of some stream has it: what only earlier ones have is in an index of its own.
    latest     boolean  NOT NULL,
    -- Lexemes; their positions count how often they occur, and say nothing else.
    words      tsvector NOT NULL,
    -- Folded, each run of white space as one blank.
    text       text     COLLATE "C" NOT NULL,
    PRIMARY KEY (project_id, digest, part)
);
-- One GIN index over project and words: a search never visits the texts of another project. It reads through what is not in its
-- place yet, of which there is little therefore.
CREATE INDEX search_parts_latest ON search_parts USING gin (project_id, words)
    WITH (gin_pending_list_limit = 512) WHERE latest;
CREATE INDEX search_parts_earlier ON search_parts USING gin (project_id, words)
    WITH (gin_pending_list_limit = 512) WHERE NOT latest;

-- Which words a project has, for what is written almost like one of them.
CREATE TABLE search_words (
    project_id bigint NOT NULL,
    word       text   COLLATE "C" NOT NULL,
    PRIMARY KEY (project_id, word)
);
CREATE INDEX search_words_trigrams ON search_words USING gin (project_id, word gin_trgm_ops)
    WITH (gin_pending_list_limit = 512);
