-- The repository that shares show: for each commit of a project's repository one with the same content and what Gemini needs
-- at the root, so that the project's own keep their ids. Made at the first request by a share, and only ever extended.
CREATE TABLE git_shared_commits (LIKE git_commits INCLUDING CONSTRAINTS INCLUDING STORAGE);
ALTER TABLE git_shared_commits ADD PRIMARY KEY (project_id, sequence);
ALTER TABLE git_shared_commits ADD CONSTRAINT git_shared_commits_oid UNIQUE (project_id, oid);
