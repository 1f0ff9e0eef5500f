-- The log. One row an event, positions without gaps, in commit order.
CREATE TABLE events (
    position       bigint      PRIMARY KEY CHECK (position > 0),
    stream_id      uuid        NOT NULL,
    stream_version integer     NOT NULL,
    topic          text        NOT NULL,
    state          bytea       NOT NULL,
    recorded_at    timestamptz NOT NULL,
    -- Ids only: what names a person lives in users, so that erasing a person is one UPDATE.
    project_id     bigint,
    actor_id       bigint,
    key_id         uuid,
    command_id     uuid        NOT NULL,
    correlation_id text,
    -- Loading a stream, and the guard against two writers on one version.
    CONSTRAINT events_stream UNIQUE (stream_id, stream_version)
);

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'table %: % is refused, it is append-only', TG_TABLE_NAME, TG_OP
        USING ERRCODE = 'insufficient_privilege';
END $$;

CREATE TRIGGER events_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON events
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- Bodies, files and rendered parts, once per digest. PostgreSQL compresses what is over 2 KB.
CREATE TABLE contents (
    digest bytea PRIMARY KEY CHECK (octet_length(digest) = 32),
    bytes  bytea NOT NULL
);

CREATE TRIGGER contents_immutable BEFORE UPDATE OR TRUNCATE ON contents
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- What was answered to a request that carried an Idempotency-Key: enough to give the same answer again.
CREATE TABLE commands (
    key_id          uuid        NOT NULL,
    idempotency_key text        NOT NULL,
    fingerprint     bytea       NOT NULL,
    status          smallint    NOT NULL,
    stream_id       uuid        NOT NULL,
    stream_version  integer     NOT NULL,
    recorded_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT commands_once PRIMARY KEY (key_id, idempotency_key)
);

-- The sweep of rows older than their keeping time.
CREATE INDEX commands_age ON commands (recorded_at);

-- The folded state of a long stream, so that loading it does not start from its first event.
CREATE TABLE snapshots (
    stream_id      uuid    PRIMARY KEY,
    stream_version integer NOT NULL,
    schema         text    NOT NULL,
    state          bytea   NOT NULL
);

-- How far each follower has come, written in the same transaction as its effect.
CREATE TABLE checkpoints (
    follower   text        PRIMARY KEY,
    position   bigint      NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- Events that a follower could not digest; later events of the same stream wait behind them.
CREATE TABLE dead_letters (
    follower  text        NOT NULL,
    position  bigint      NOT NULL,
    stream_id uuid        NOT NULL,
    error     text        NOT NULL,
    parked_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (follower, position)
);
CREATE INDEX dead_letters_stream ON dead_letters (follower, stream_id);
