-- The next delivery of a subject, without a look at those of the others.
CREATE INDEX webhook_deliveries_lanes ON webhook_deliveries (webhook_id, subject, position) WHERE status = 'pending';
