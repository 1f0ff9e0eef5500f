-- What users write in the console before they publish it. No part of the log: a draft ends when it is published.
CREATE TABLE console_drafts (
    id         uuid        NOT NULL,
    user_id    bigint      NOT NULL,
    project_id bigint      NOT NULL,
    kind       text        NOT NULL,
    -- The skill or prompt that it changes; none for a new one.
    stream_id  uuid,
    name       text        NOT NULL,
    -- Grows with each change of the draft.
    revision   int         NOT NULL,
    -- The version that it became: its content is gone then, and the row answers a second click.
    published  int,
    content    bytea       NOT NULL,
    changed_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    CONSTRAINT console_drafts_pkey PRIMARY KEY (id)
);
CREATE INDEX console_drafts_user ON console_drafts (user_id, project_id, kind, stream_id);
CREATE INDEX console_drafts_expiry ON console_drafts (expires_at);
