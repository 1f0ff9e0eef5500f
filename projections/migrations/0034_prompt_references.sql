-- What each version of a prompt refers to: another prompt by its name as it is written, and a version of it or a label.
CREATE TABLE prompt_references (
    stream_id  uuid   NOT NULL,
    number     int    NOT NULL,
    project_id bigint NOT NULL,
    name       text   NOT NULL,
    -- 0: by label; '': by version. A primary key holds no NULL.
    version    int    NOT NULL,
    label      text   NOT NULL,
    PRIMARY KEY (stream_id, number, name, version, label)
);
CREATE INDEX prompt_references_by_name ON prompt_references (project_id, name);
