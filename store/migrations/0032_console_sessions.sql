-- Browsers that are signed in to the console. Each has a secret, of which only the SHA-256 is here, and may do what its key may.
CREATE TABLE console_sessions (
    id         uuid        NOT NULL,
    digest     bytea       NOT NULL,
    key_id     uuid        NOT NULL,
    created_at timestamptz NOT NULL,
    -- When it was last used, to some minutes.
    used_at    timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    -- What the browser calls itself.
    browser    text        NOT NULL,
    CONSTRAINT console_sessions_pkey PRIMARY KEY (id),
    CONSTRAINT console_sessions_digest UNIQUE (digest)
);
CREATE INDEX console_sessions_key ON console_sessions (key_id);
CREATE INDEX console_sessions_expiry ON console_sessions (expires_at);

-- Addresses that sign one browser in, once.
CREATE TABLE console_links (
    digest     bytea       NOT NULL,
    key_id     uuid        NOT NULL,
    expires_at timestamptz NOT NULL,
    CONSTRAINT console_links_pkey PRIMARY KEY (digest)
);
CREATE INDEX console_links_expiry ON console_links (expires_at);
