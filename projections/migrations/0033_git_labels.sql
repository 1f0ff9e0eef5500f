-- The repository that shares of a label show has a number of its own among those of projects, in ``git_repositories``, ``git_commits``
-- and ``git_objects``. Numbers of projects are below; a number is given once, and kept when the repositories are forgotten.
CREATE TABLE git_labels (
    id         bigint GENERATED ALWAYS AS IDENTITY (START WITH 140737488355328) PRIMARY KEY,
    project_id bigint NOT NULL,
    label      text   COLLATE "C" NOT NULL,
    CONSTRAINT git_labels_of_project UNIQUE (project_id, label)
);
