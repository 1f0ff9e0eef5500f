"""What versions of prompts refer to: the table ``prompt_references``, and the guards that keep it true.

A guard is the last statement of an append: under the order lock it sees all that was appended before, whatever its writer had
read, and what it refuses is not written. It brings no row, or one that the table does not take.
"""

from collections.abc import Iterable
from uuid import UUID

from domain.artifacts.prompts import Prompt
from domain.artifacts.references import Reference
from store.log.statements import Row, SetStatement, arrays

ADDED = SetStatement(
    "prompt_references.add",
    55,
    f"""
    INSERT INTO prompt_references (stream_id, number, project_id, name, version, label)
    SELECT * FROM {arrays("stream_id uuid, number int, project_id bigint, name text, version int, label text")} AS new
    """,
)

# Of versions that refer to something, those of active prompts that are the latest or have a label.
USING = """
JOIN artifacts ON artifacts.stream_id = refers.stream_id AND artifacts.archived_position IS NULL
LEFT JOIN LATERAL (
    SELECT min(labels.name) AS name FROM labels
    WHERE labels.stream_id = refers.stream_id AND labels.number = refers.number AND until_position IS NULL
) AS labeled ON true
"""
IN_USE = "(refers.number = artifacts.latest_version OR labeled.name IS NOT NULL)"

# The versions of active prompts that refer to a stream, by its name or one that leads to it (see ``projections.read.renames``), and
# are the latest or have a label. prompt_references_by_name, artifacts_pkey, labels_of_version, name_spans_pkey, name_spans_of_name
STANDING = f"""
prompt_references AS refers {USING}
WHERE refers.project_id = {{project_id}}
  AND refers.name = ANY (ARRAY(
      SELECT held.name FROM name_spans AS held
      WHERE held.stream_id = {{stream}} AND held.stream_id = (
          SELECT last.stream_id FROM name_spans AS last
          WHERE last.project_id = held.project_id AND last.kind = held.kind AND last.name = held.name
          ORDER BY last.since_position DESC LIMIT 1
      )
  ))
  AND {IN_USE}
"""

# The same for what a name leads to that {stream} is to take: the marks that have this name would lead to {stream} then. A name that
# {stream} held last itself leads to it already. name_spans_of_name, artifacts_pkey, prompt_references_by_name, labels_of_version
LED_BY_NAME = f"""
(
    SELECT spans.stream_id FROM name_spans AS spans
    WHERE spans.project_id = {{project_id}} AND spans.kind = '{Prompt.KIND}' AND spans.name = {{name}} AND {{spans}}
    ORDER BY spans.since_position DESC LIMIT 1
) AS last
JOIN artifacts AS led ON led.stream_id = last.stream_id AND led.archived_position IS NULL AND led.name <> {{name}}
JOIN prompt_references AS refers
    ON refers.project_id = {{project_id}} AND refers.name = {{name}} AND refers.stream_id <> {{stream}} {USING}
WHERE last.stream_id <> {{stream}} AND {IN_USE}
"""
REFUSED = "INSERT INTO prompt_references (stream_id, number, project_id, name, version, label) SELECT NULL, 0, 0, '', 0, ''"

# What a new version refers to is there: an active prompt, with that version or label, that refers to nothing itself.
# active_names_pkey, labels_now, versions_pkey, yanks_pkey, prompt_references_pkey
THERE = SetStatement(
    "prompt_references.guard_there",
    1000,
    f"""
    {REFUSED}
    FROM {arrays("project_id bigint, name text, version int, label text")} AS wanted
    WHERE NOT EXISTS (
        SELECT FROM active_names
        LEFT JOIN labels ON labels.stream_id = active_names.stream_id AND labels.name = wanted.label AND until_position IS NULL
        WHERE active_names.project_id = wanted.project_id AND active_names.kind = '{Prompt.KIND}'
          AND active_names.name = wanted.name
          AND EXISTS (
              SELECT FROM versions
              WHERE versions.stream_id = active_names.stream_id
                AND versions.number = CASE WHEN wanted.label = '' THEN wanted.version ELSE labels.number END
                AND (wanted.label = '' OR NOT EXISTS (
                    SELECT FROM yanks
                    WHERE yanks.stream_id = versions.stream_id AND yanks.number = versions.number AND yanks.until_position IS NULL))
          )
          AND NOT EXISTS (
              SELECT FROM prompt_references AS further
              WHERE further.stream_id = active_names.stream_id
                AND further.number = CASE WHEN wanted.label = '' THEN wanted.version ELSE labels.number END
          )
    )
    """,
)

# Nothing that is in use refers to a prompt that goes; with a label, to that label of it. What goes itself is in no use any more.
UNREFERENCED = SetStatement(
    "prompt_references.guard_unreferenced",
    1001,
    f"""
    {REFUSED}
    FROM {arrays("stream_id uuid, project_id bigint, label text")} AS gone
    WHERE EXISTS (
        SELECT FROM {STANDING.format(project_id="gone.project_id", stream="gone.stream_id")}
          AND (gone.label = '' OR refers.label = gone.label)
    )
    """,
)

# Nothing that is in use refers to another prompt by a name that is taken. The span that begins by it is there by now, so the one
# before is the last that has ended.
UNLED = SetStatement(
    "prompt_references.guard_unled",
    1002,
    f"""
    {REFUSED}
    FROM {arrays("stream_id uuid, project_id bigint, name text")} AS taken
    WHERE EXISTS (
        SELECT FROM {
        LED_BY_NAME.format(
            project_id="taken.project_id",
            stream="taken.stream_id",
            name="taken.name",
            spans="spans.until_position IS NOT NULL",
        )
    }
    )
    """,
)


def rows(stream_id: UUID, number: int, project_id: int, references: Iterable[Reference]) -> list[Row]:
    """Of ``ADDED``."""
    return [(stream_id, number, project_id, *_key(one)) for one in references]


def wanted(project_id: int, name: str, reference: Reference) -> Row:
    """Of ``THERE``; ``name`` is what the reference leads to now."""
    return (project_id, name, *_key(reference)[1:])


def _key(reference: Reference) -> Row:
    return (reference.name, reference.version or 0, reference.label or "")
