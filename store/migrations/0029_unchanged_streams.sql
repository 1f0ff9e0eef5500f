-- Some commits are right only while a stream that they do not write is as they have read it, such as the policies of a label that
-- they move. Their append calls this behind its events; what has changed refuses it as two writers on one version are refused.
CREATE FUNCTION check_unchanged(stream uuid, version integer) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    -- events_stream
    IF (SELECT coalesce(max(stream_version), 0) FROM events WHERE stream_id = stream) <> version THEN
        RAISE EXCEPTION 'the stream % is not at version % any more', stream, version
            USING ERRCODE = 'unique_violation', CONSTRAINT = 'events_stream';
    END IF;
END $$;
