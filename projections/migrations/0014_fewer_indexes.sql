-- Every publish wrote to these, and others find the same: versions_by_position what an event left behind, name_spans_of_name
-- the lives of a name.
DROP INDEX versions_by_event;
DROP INDEX artifacts_lives;
