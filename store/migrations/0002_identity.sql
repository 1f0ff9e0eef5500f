-- Who may come in. Plain tables: names and mail stay out of the log, so that erasing a person is one UPDATE.
CREATE TABLE organizations (
    id   uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    name text NOT NULL
);
INSERT INTO organizations (name) VALUES ('Default');

CREATE TABLE projects (
    id              bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name            text        NOT NULL,
    -- Names the project in a query string (?token=); it opens nothing by itself.
    api_token       text        NOT NULL CONSTRAINT projects_api_token UNIQUE,
    organization_id uuid        NOT NULL REFERENCES organizations,
    created_at      timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE users (
    id                   bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    uuid                 uuid        NOT NULL DEFAULT gen_random_uuid() CONSTRAINT users_uuid UNIQUE,
    distinct_id          text        NOT NULL,
    first_name           text        NOT NULL DEFAULT '',
    last_name            text        NOT NULL DEFAULT '',
    email                text        NOT NULL,
    is_email_verified    boolean     NOT NULL DEFAULT false,
    role_at_organization text        NOT NULL DEFAULT '',
    current_project_id   bigint      REFERENCES projects,
    created_at           timestamptz NOT NULL DEFAULT now(),
    erased_at            timestamptz
);
-- One user per address, in any case of its letters; erased users have none.
CREATE UNIQUE INDEX users_email ON users (lower(email)) WHERE erased_at IS NULL;

CREATE TABLE keys (
    id          uuid        PRIMARY KEY,
    user_id     bigint      NOT NULL REFERENCES users,
    -- SHA-256 of the key: 256 random bits need no salt and no slow hash.
    digest      bytea       NOT NULL CONSTRAINT keys_digest UNIQUE CHECK (octet_length(digest) = 32),
    label       text        NOT NULL DEFAULT '',
    -- The first characters, to tell keys apart in a list.
    prefix      text        NOT NULL,
    scopes      text[]      NOT NULL,
    -- NULL: every project, also those made later.
    project_ids bigint[],
    created_at  timestamptz NOT NULL DEFAULT now(),
    expires_at  timestamptz,
    revoked_at  timestamptz
);
CREATE INDEX keys_user ON keys (user_id);
