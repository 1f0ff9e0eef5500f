"""What a search finds: the active artifacts of a project whose name or text contains something, in any case.

An index of trigrams narrows the texts down, and what it leaves is looked through. For every trigram that it is asked about it
walks through the whole list of texts that have it, so that one that nearly all have costs most and brings nothing: a few
texts of the project tell which those are, and it is not asked about them.
"""

import re
from collections.abc import Mapping, Sequence

from projections.write.artifacts import search_fold
from store.postgres.connection import Connection

TRIGRAM = 3  # characters
LOOKED_AT = 64  # characters of what is sought, from its start: enough to narrow down by
COMMON = 0.75  # of the sample has a trigram that is not worth asking about

# artifacts_by_time, search_texts_pkey. The oldest and the newest, because neighbours in time are often alike.
SAMPLE = """
SELECT lower(name), left(text, 1000)
FROM (
    (SELECT stream_id FROM artifacts WHERE {active} ORDER BY latest_at, latest_id LIMIT 8)
    UNION ALL
    (SELECT stream_id FROM artifacts WHERE {active} ORDER BY latest_at DESC, latest_id DESC LIMIT 8)
) AS sample JOIN search_texts USING (stream_id)
""".format(active="project_id = %(project)s AND kind = %(kind)s AND archived_position IS NULL")

IN_NAME = "strpos(lower(search_texts.name), %(needle)s) > 0"
IN_TEXT = "strpos(search_texts.text, %(needle)s) > 0"

# search_texts_trigrams, which knows a project only as bigint. What is archived has no text. Names and texts are asked for one
# by one: with OR between them, a planner without statistics takes all texts of the project from the index and looks through
# them. So does the last part, for what has no trigram: asked for that, the index would give all that is in it.
FOUND = f"""
    SELECT stream_id FROM search_texts WHERE project_id = %(project)s::bigint AND kind = %(kind)s
       AND %(has_trigrams)s AND name ILIKE %(name_like)s AND {IN_NAME}
    UNION
    SELECT stream_id FROM search_texts WHERE project_id = %(project)s::bigint AND kind = %(kind)s
       AND %(has_trigrams)s AND text LIKE %(text_like)s AND {IN_TEXT}
    UNION
    SELECT stream_id FROM search_texts WHERE project_id = %(project)s::bigint AND kind = %(kind)s
       AND NOT %(has_trigrams)s AND ({IN_NAME} OR {IN_TEXT})
"""

# search_texts_pkey: a subquery of this form is no join, which the planner might begin at its other end.
MATCHES = (
    f"(SELECT {IN_NAME} OR {IN_TEXT} FROM search_texts WHERE search_texts.stream_id = artifacts.stream_id)"
)


async def sought(conn: Connection, project_id: int, kind: str, text: str) -> Mapping[str, str | bool]:
    """The parameters of ``FOUND`` and ``MATCHES`` in a search for ``text``, beside project and kind."""
    cursor = await conn.execute(SAMPLE, {"project": project_id, "kind": kind}, binary=True)
    return parameters(text, await cursor.fetchall())


def parameters(text: str, sample: Sequence[tuple[str, str]]) -> Mapping[str, str | bool]:
    """The same, given the rows of ``SAMPLE``."""
    needle = search_fold(text)
    return {
        "needle": needle,
        "has_trigrams": len(needle) >= TRIGRAM,
        "name_like": rough(needle, [name for name, _ in sample]),
        "text_like": rough(needle, [text for _, text in sample]),
    }


def rough(needle: str, sample: Sequence[str]) -> str:
    """A LIKE pattern of every text that contains ``needle``, without the trigrams that most of the sample have.

    When it has them all, they stay: they are better than none.
    """
    needle = needle[:LOOKED_AT]
    kept = bytearray(len(needle))
    for start in range(len(needle) - TRIGRAM + 1):
        end = start + TRIGRAM
        if sum(needle[start:end] in text for text in sample) < COMMON * len(sample):
            kept[start:end] = b"x" * TRIGRAM
    pieces = [needle[slice(*run.span())] for run in re.finditer(rb"x+", kept)] or [needle]
    return f"%{'%'.join(map(_literal, pieces))}%"


def _literal(text: str) -> str:
    return re.sub(r"[\\%_]", r"\\\g<0>", text)
