-- Which webhook a request with an Idempotency-Key made, so that its repetition makes no second one.
CREATE TABLE webhook_requests (
    key_id          uuid        NOT NULL,
    idempotency_key text        NOT NULL,
    fingerprint     bytea       NOT NULL,
    webhook_id      uuid        NOT NULL REFERENCES webhooks ON DELETE CASCADE,
    recorded_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (key_id, idempotency_key)
);
CREATE INDEX webhook_requests_age ON webhook_requests (recorded_at);
