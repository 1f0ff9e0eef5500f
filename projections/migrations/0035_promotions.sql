-- Which promotion moved the label there; none for a direct move.
ALTER TABLE labels ADD COLUMN promotion_id uuid;

-- Requests to move a label. What it was at a position of the log follows from the positions.
CREATE TABLE promotions (
    id                 uuid        PRIMARY KEY,
    stream_id          uuid        NOT NULL,
    project_id         bigint      NOT NULL,
    kind               text        NOT NULL,
    label              text        COLLATE "C" NOT NULL,
    number             integer     NOT NULL,
    from_number        integer,
    note               text        NOT NULL,
    requested_by       bigint      NOT NULL,
    requested_at       timestamptz NOT NULL,
    requested_position bigint      NOT NULL,
    -- open, promoted, rejected, withdrawn or outdated; when it is not open, by which event and when.
    status             text        NOT NULL,
    decided_at         timestamptz,
    decided_position   bigint
);
CREATE INDEX promotions_of_project ON promotions (project_id, requested_position);
-- Those that a move of a label or an archive ends.
CREATE INDEX promotions_open ON promotions (stream_id) WHERE status = 'open';

CREATE TABLE promotion_approvals (
    promotion_id uuid        NOT NULL,
    position     bigint      NOT NULL,
    approved_by  bigint      NOT NULL,
    approved_at  timestamptz NOT NULL,
    comment      text        NOT NULL,
    PRIMARY KEY (promotion_id, position)
);
