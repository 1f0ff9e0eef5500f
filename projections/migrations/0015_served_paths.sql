-- Files that no door gives any more, and names that get a warning, change what a version is rendered to: the package of each
-- version that may be concerned is taken away, and the replay that follows makes it anew. The manifests stay as the log has them.
WITH manifests AS (
    SELECT DISTINCT manifest AS digest FROM versions WHERE manifest <> sha256('[]')
), paths AS (
    SELECT digest, file ->> 'path' AS path
    FROM manifests
    JOIN contents USING (digest)
    CROSS JOIN LATERAL jsonb_array_elements(convert_from(contents.bytes, 'UTF8')::jsonb) AS file
), concerned AS (
    SELECT digest FROM paths
    WHERE octet_length(path) <> length(path) OR path ~ '[^/]{255}[^/]' OR path ~* '^(skill\.md/|[a-z]:)'
       OR path ~* '(^|/)(\.git|git~|gitmod~|con|prn|aux|nul|com[0-9]|lpt[0-9])'
    UNION
    SELECT one.digest FROM paths AS one
    JOIN paths AS other ON other.digest = one.digest AND starts_with(lower(other.path), lower(one.path) || '/')
)
UPDATE versions SET package = NULL
WHERE manifest IN (SELECT digest FROM concerned)
   OR manifest IS NOT NULL
  AND stream_id IN (SELECT stream_id FROM artifacts WHERE name ~ '^(con|prn|aux|nul|com[0-9]|lpt[0-9])$');
