-- Who is told of a project's events by HTTP. Plain tables: an address may hold what its owner wants gone for good.
CREATE TABLE webhooks (
    id              uuid        PRIMARY KEY,
    project_id      bigint      NOT NULL REFERENCES projects,
    url             text        NOT NULL,
    description     text        NOT NULL,
    -- Event types; empty: all of them.
    types           text[]      NOT NULL,
    -- A pattern for the subject, such as skill/pdf-*; empty: every name.
    names           text        NOT NULL,
    enabled         boolean     NOT NULL,
    -- Why the service itself switched it off; NULL when it did not.
    disabled_reason text,
    -- Every event up to here has its delivery, done or to be done: both are written in one transaction.
    position        bigint      NOT NULL,
    -- The first failure since the last success.
    failing_since   timestamptz,
    created_by      bigint,
    created_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at      timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX webhooks_of_project ON webhooks (project_id, created_at, id);

-- Encrypted; the newest one has no end, the one before it signs as well until it expires.
CREATE TABLE webhook_secrets (
    webhook_id uuid        NOT NULL REFERENCES webhooks ON DELETE CASCADE,
    number     integer     NOT NULL,
    sealed     bytea       NOT NULL,
    expires_at timestamptz,
    PRIMARY KEY (webhook_id, number)
);

-- One row for each event that an endpoint is told of (again for a redelivery or a replay), with its last attempt.
CREATE TABLE webhook_deliveries (
    id              bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    webhook_id      uuid        NOT NULL REFERENCES webhooks ON DELETE CASCADE,
    position        bigint      NOT NULL,
    subject         text        NOT NULL,
    type            text        NOT NULL,
    cause           text        NOT NULL CHECK (cause IN ('event', 'redelivery', 'replay')),
    status          text        NOT NULL CHECK (status IN ('pending', 'delivered', 'failed')) DEFAULT 'pending',
    attempts        integer     NOT NULL DEFAULT 0,
    created_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- When to try next, and the first try: what is given up is counted from there.
    due_at          timestamptz NOT NULL DEFAULT clock_timestamp(),
    first_at        timestamptz,
    attempted_at    timestamptz,
    duration_ms     integer,
    response_status integer,
    response_body   bytea,
    error           text
);
-- What an endpoint still has to be told, by subject and in order; an event waits there once at most.
CREATE UNIQUE INDEX webhook_deliveries_pending ON webhook_deliveries (webhook_id, position) WHERE status = 'pending';
CREATE INDEX webhook_deliveries_of_webhook ON webhook_deliveries (webhook_id, id);
-- The sweep of what is older than its keeping time.
CREATE INDEX webhook_deliveries_age ON webhook_deliveries (created_at) WHERE status <> 'pending';

-- Ranges of the log that an endpoint asked for again; the row goes when the last of its deliveries is written.
CREATE TABLE webhook_replays (
    id            bigint  GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    webhook_id    uuid    NOT NULL REFERENCES webhooks ON DELETE CASCADE,
    position      bigint  NOT NULL,
    last_position bigint  NOT NULL
);
CREATE INDEX webhook_replays_of_webhook ON webhook_replays (webhook_id, id);
