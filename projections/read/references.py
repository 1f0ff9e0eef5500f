"""Which prompts refer to which: whether what a prompt refers to is there, and what refers to it."""

from collections.abc import Sequence
from uuid import UUID

from domain.artifacts.references import ReferencedBy
from projections.write.references import LED_BY_NAME, STANDING
from store.postgres.connection import Connection

MAX_SHOWN = 20

REFERENCED_BY = f"""
SELECT DISTINCT artifacts.name, refers.number, labeled.name
FROM {STANDING.format(project_id="%(project)s", stream="%(stream)s")}
  AND (%(label)s::text IS NULL OR refers.label = %(label)s)
  AND (%(label)s::text IS NOT NULL OR refers.stream_id <> %(stream)s
       OR (refers.label <> '' AND refers.number = artifacts.latest_version))
ORDER BY artifacts.name, refers.number LIMIT {MAX_SHOWN}
"""

LED_BY = f"""
SELECT DISTINCT artifacts.name, refers.number, labeled.name
FROM {LED_BY_NAME.format(project_id="%(project)s", stream="%(stream)s", name="%(name)s", spans="true")}
ORDER BY artifacts.name, refers.number LIMIT {MAX_SHOWN}
"""


async def referenced_by(
    conn: Connection, project_id: int, stream_id: UUID, label: str | None = None
) -> Sequence[ReferencedBy]:
    """Up to 20 versions, latest or labelled, of prompts that refer to another one, or of any to that label of it.

    Without a label, for what is to be archived: its own latest version is one of them when it refers to a label of its own, as the
    labels go with it and a restore would find none.
    """
    params = {"project": project_id, "stream": stream_id, "label": label}
    rows = await (await conn.execute(REFERENCED_BY, params)).fetchall()
    return [ReferencedBy(*row) for row in rows]


async def led_by(conn: Connection, project_id: int, stream_id: UUID, name: str) -> Sequence[ReferencedBy]:
    """The same of prompts that refer by an earlier name to what has another one now; ``stream_id`` is to take that name."""
    rows = await (
        await conn.execute(LED_BY, {"project": project_id, "stream": stream_id, "name": name})
    ).fetchall()
    return [ReferencedBy(*row) for row in rows]
