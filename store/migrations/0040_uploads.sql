-- Files that clients of ClawHub send one by one before they publish them. Each has a ticket, of which only the SHA-256 is here,
-- and belongs to the key that asked for it. They are kept for some minutes.
CREATE TABLE uploads (
    id         uuid        NOT NULL,
    ticket     bytea       NOT NULL,
    project_id bigint      NOT NULL,
    key_id     uuid        NOT NULL,
    -- What was announced; no other content is taken.
    size       int         NOT NULL,
    sha256     bytea       NOT NULL,
    -- NULL until it is sent.
    content    bytea,
    -- By a publish, which a client may send again.
    used       boolean     NOT NULL DEFAULT false,
    expires_at timestamptz NOT NULL,
    CONSTRAINT uploads_pkey PRIMARY KEY (id),
    CONSTRAINT uploads_ticket UNIQUE (ticket)
);
CREATE INDEX uploads_of_key ON uploads (key_id);
CREATE INDEX uploads_expiry ON uploads (expires_at);
