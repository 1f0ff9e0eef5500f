-- What SKILL.md of a version begins with, its digests and what should be better about it. NULL in rows of prompts, and in rows
-- of skills that were written before: a replay fills those in.
ALTER TABLE versions ADD COLUMN package bytea;
ALTER TABLE artifacts ADD COLUMN package bytea;
-- Empty, and so found at once, when there is nothing to fill in.
CREATE INDEX versions_without_package ON versions (stream_id) WHERE package IS NULL AND manifest IS NOT NULL;
