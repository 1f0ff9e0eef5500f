-- Attempts to deliver since ever, by what came of them: deliveries themselves are forgotten after a while.
CREATE TABLE webhook_totals (
    outcome  text PRIMARY KEY,
    attempts bigint NOT NULL
);
