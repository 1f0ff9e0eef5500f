-- A log that went back begins a new history: its events stand at positions that no event has had, lost ones included.
CREATE TABLE histories (
    -- The position of its first event (log.rewound); 0 for the first history, which begins with the log.
    begins   bigint      PRIMARY KEY,
    -- Up to here the log is what was read before it went back.
    shared   bigint      NOT NULL,
    -- The last position of the log before ``begins``.
    previous bigint      NOT NULL,
    -- On which server it began (see server_identity).
    server   text        NOT NULL,
    began_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- System identifier, timeline and database: one of them is another one after a failover, a recovery or a restore. A part that
-- the server or the rights of the role do not give is a dash.
CREATE FUNCTION server_identity() RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    system text;
    line   text;
BEGIN
    BEGIN
        SELECT system_identifier::text INTO system FROM pg_control_system();
    EXCEPTION WHEN OTHERS THEN
        system := NULL;
    END;
    BEGIN
        -- The control file has the timeline of the last checkpoint, which is the old one right after a promotion.
        line := left(pg_walfile_name(pg_current_wal_lsn()), 8);
    EXCEPTION WHEN OTHERS THEN
        line := NULL;
    END;
    RETURN coalesce(system, '-') || '/' || coalesce(line, '-') || '/'
        || (SELECT oid FROM pg_database WHERE datname = current_database());
END $$;
