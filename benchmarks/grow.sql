-- Skills number %(first)s to %(last)s of a project that has one, number 0: the rows of that one with other names, numbers, ids and
-- positions. The same rows as an append leaves, but for the digests within a package, which nothing that is measured reads.
WITH model AS MATERIALIZED (
    SELECT stream_id, latest_version AS versions FROM artifacts
    WHERE project_id = %(project)s AND kind = 'skill' AND name = 'skill-000000'
), numbers AS MATERIALIZED (
    SELECT n, lpad(n::text, 6, '0') AS digits, md5(%(project)s || '/' || n)::uuid AS stream,
           (SELECT max(position) FROM events) + (n - %(first)s)::bigint * versions AS before
    FROM model, generate_series(%(first)s::int, %(last)s::int) AS n
), parts AS MATERIALIZED (
    -- Details and package of each version, as text and as they are stored.
    SELECT v.number, part.name, convert_from(bytes, 'UTF8') AS text
    FROM model JOIN versions AS v USING (stream_id)
    CROSS JOIN LATERAL (VALUES ('details', v.details), ('package', v.package)) AS part (name, digest)
    JOIN contents ON contents.digest = part.digest
), made AS MATERIALIZED (
    SELECT n, number, name, convert_to(replace(text, '000000', digits), 'UTF8') AS bytes FROM numbers, parts
), stored AS (
    INSERT INTO contents SELECT sha256(bytes), bytes FROM made ON CONFLICT DO NOTHING
), pointers AS MATERIALIZED (
    SELECT n, number, sha256(min(bytes) FILTER (WHERE name = 'details')) AS details,
           sha256(min(bytes) FILTER (WHERE name = 'package')) AS package
    FROM made GROUP BY n, number
), logged AS (
    INSERT INTO events
    SELECT before + stream_version, stream, stream_version, topic,
           convert_to(replace(replace(convert_from(state, 'UTF8'), stream_id::text, stream::text), '000000', digits), 'UTF8'),
           recorded_at, project_id, actor_id, key_id, gen_random_uuid(), correlation_id
    FROM model JOIN events USING (stream_id) CROSS JOIN numbers
), versioned AS (
    INSERT INTO versions
    SELECT stream, v.number, md5(stream || '/' || v.number)::uuid, v.stream_version, before + v.stream_version, created_at,
           created_by, body, pointers.details, outline, manifest, pointers.package, rendering
    FROM model JOIN versions AS v USING (stream_id) CROSS JOIN numbers JOIN pointers USING (n, number)
), named AS (
    INSERT INTO active_names SELECT %(project)s, 'skill', 'skill-' || digits, stream FROM numbers
), spanned AS (
    INSERT INTO name_spans SELECT stream, %(project)s, 'skill', 'skill-' || digits, before + 1, NULL FROM numbers
), found AS (
    INSERT INTO search_texts
    SELECT stream, %(project)s, 'skill', 'skill-' || digits, replace(text, '000000', digits)
    FROM model JOIN search_texts USING (stream_id) CROSS JOIN numbers
), counted AS (
    UPDATE artifact_counts SET active = active + %(last)s - %(first)s + 1 WHERE project_id = %(project)s AND kind = 'skill'
)
INSERT INTO artifacts
SELECT stream, project_id, kind, 'skill-' || digits, before + 1, created_at, NULL, NULL,
       versions, md5(stream || '/' || versions)::uuid, latest_at, latest_by, body, pointers.details, outline, pointers.package
FROM model JOIN artifacts USING (stream_id) CROSS JOIN numbers JOIN pointers ON pointers.n = numbers.n AND pointers.number = versions
