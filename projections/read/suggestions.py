"""Names that resemble one that nothing has: every name of a small project is compared with it, of a large one a bounded choice.

An index of trigrams visits all names that share one, which are all names in a project that names things alike. Of a large project,
the candidates are what a slip of the hand makes of the name (a letter too many, too few, another, two swapped), and the neighbours
in the order of names of the name and of each of its words.
"""

import re
from collections.abc import Iterator
from string import ascii_lowercase, digits

from store.postgres.connection import Connection

FEW = 1_000  # names of a small project: all of them are compared in some 2 ms
LIMIT = 3
ALIKE = 0.3  # of 1, from which on a name resembles another: the default of pg_trgm
CUT = 255  # characters of a name that are looked at; no name is longer
EDITED = 16  # of which so many are edited: 1,200 candidates, found in 3 ms; a later slip leaves the name among its neighbours
LETTERS = ascii_lowercase + digits + "-"
WORDS = 8  # neighbours are looked for from so many words on
NEIGHBOURS = 10  # before, and as many after

# artifact_counts_pkey
IS_LARGE = f"SELECT active > {FEW} FROM artifact_counts WHERE project_id = %(project)s AND kind = %(kind)s"
# active_names_pkey
ACTIVE = "SELECT name FROM active_names WHERE project_id = %(project)s AND kind = %(kind)s"

# name_spans_of_name
WERE_LARGE = f"""
SELECT count(*) > {FEW} FROM (
    SELECT FROM name_spans WHERE project_id = %(project)s AND kind = %(kind)s LIMIT {FEW} + 1
) AS found
"""
THEN = """
SELECT name FROM name_spans WHERE project_id = %(project)s AND kind = %(kind)s
  AND since_position <= %(at)s AND (until_position IS NULL OR until_position > %(at)s)
"""

# What resembles it, as by the similarity operator of pg_trgm: for that one, the planner would compare the name with hundreds of
# values of its statistics, several times, which takes longer than all the rest when the name is long.
CLOSEST = f"""
SELECT name FROM (SELECT name, similarity(name, %(name)s) AS alike FROM ({{names}}) AS candidates) AS compared
WHERE alike >= {ALIKE}::real ORDER BY alike DESC, name LIMIT {LIMIT}
"""
# The index of ``names``, candidate by candidate and from each start in both directions. One by one, because the planner weighs
# each element of an array that it is given, ten times as long as the index is looked at. What no edit touches is sent once: of a
# long name, to send all candidates whole takes longer than to look for them.
CHOSEN = f"""
SELECT same.name FROM unnest(%(edits)s::text[]) AS edit (head) CROSS JOIN LATERAL (
    {{names}} AND name = (edit.head || %(rest)s::text) COLLATE "C" LIMIT 1
) AS same
UNION
SELECT near.name FROM unnest(%(starts)s::text[]) AS start (name) CROSS JOIN LATERAL (
    ({{names}} AND name >= start.name COLLATE "C" ORDER BY name LIMIT {NEIGHBOURS})
    UNION ALL
    ({{names}} AND name < start.name COLLATE "C" ORDER BY name DESC LIMIT {NEIGHBOURS})
) AS near
"""
CLOSE, CLOSE_THEN = (CLOSEST.format(names=names) for names in (ACTIVE, THEN))
CLOSE_AMONG_MANY, CLOSE_AMONG_MANY_THEN = (
    CLOSEST.format(names=CHOSEN.format(names=names)) for names in (ACTIVE, THEN)
)


async def close_names(
    conn: Connection, project_id: int, kind: str, name: str, at: int | None = None
) -> list[str]:
    """Up to 3 names of the project that resemble ``name``, closest first: active ones, or those active at a position of the log."""
    if "\0" in name:
        return []
    params = {"project": project_id, "kind": kind, "name": name[:CUT], "at": at}
    row = await (await conn.execute(IS_LARGE if at is None else WERE_LARGE, params)).fetchone()
    if row is not None and row[0]:
        heads, rest = edits(name)
        params |= {"edits": sorted(heads), "rest": rest, "starts": starts(name)}
        sql = CLOSE_AMONG_MANY if at is None else CLOSE_AMONG_MANY_THEN
    else:
        sql = CLOSE if at is None else CLOSE_THEN
    return [row[0] for row in await (await conn.execute(sql, params)).fetchall()]


def edits(name: str) -> tuple[set[str], str]:
    """What one slip within the first ``EDITED`` characters makes of the beginning of a name, itself included; and its rest."""
    touched = EDITED + 2  # by two letters that are swapped
    return set(_edits(name[:touched])), name[touched:CUT]


def _edits(name: str) -> Iterator[str]:
    for at in range(min(len(name), EDITED) + 1):
        head, tail = name[:at], name[at:]
        yield head + tail[1:]
        if len(tail) > 1:
            yield head + tail[1] + tail[0] + tail[2:]
        for letter in LETTERS:
            yield head + letter + tail
            yield head + letter + tail[1:]


def starts(name: str) -> list[str]:
    """The name, and what is left of it from each of its words on."""
    places = [found.start() for found in re.finditer(r"(?<![^\W_])[^\W_]", name[1:CUT])][: WORDS - 1]
    return [name[:CUT], *(name[1:CUT][place:] for place in places)]
