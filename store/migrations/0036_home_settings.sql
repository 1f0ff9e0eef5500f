-- The start page of a user in a project, as clients of the API keep one: JSON that nothing here reads. It goes when the user is erased.
CREATE TABLE home_settings (
    user_id    bigint NOT NULL,
    project_id bigint NOT NULL,
    tabs       bytea  NOT NULL,
    homepage   bytea  NOT NULL,
    PRIMARY KEY (user_id, project_id)
);
