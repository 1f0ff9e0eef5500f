-- The read-only key by which a user's agents install the skills of a project: one a user and project, however many requests come at once.
CREATE TABLE install_keys (
    user_id      bigint      NOT NULL,
    project_id   bigint      NOT NULL,
    key_id       uuid        NOT NULL,
    -- When the first of the keys in a row of rotations was made, and the last rotation.
    created_at   timestamptz NOT NULL,
    rotated_at   timestamptz,
    CONSTRAINT install_keys_pkey PRIMARY KEY (user_id, project_id)
);
