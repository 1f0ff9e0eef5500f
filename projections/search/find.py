"""What is found: the artifacts of a project in which all terms of a query are, best first, and where in them.

Three passes of one query at most: literal hits; when these do not fill a page, also words that contain what is sought, and words
almost like it. The tier of a hit is the whole part of its score, so that no fuzzy one stands above a literal one.
"""

import base64
from collections.abc import Collection, Mapping, Sequence
from enum import IntEnum
from typing import Any
from uuid import UUID

import msgspec

from domain.errors import Invalid
from projections.declared import SEARCH
from projections.read.yanks import YANKED_AT
from projections.search.terms import MAX_RANKED, Term, any_of
from projections.write.search import Field
from projections.write.words import fold
from store.postgres.connection import Connection

MAX_MATCHES = 2  # of an artifact
MAX_FUZZY = 5  # words of a query that others may stand for
MAX_WITHIN = 20  # words that contain one of them
MAX_NEAR = 20  # words of which some may be near one of them
MIN_WITHIN = 3  # characters of a word that is looked for in others
MIN_NEAR = 4  # characters of a word that may be mistyped; of a shorter one, too many are near
MAX_NEAR_LENGTH = 24
SIMILARITY = 0.25  # of trigrams: two letters in the wrong order in a word of six leave that
# Words that a question has in it and no answer needs.
EMPTY_WORDS = frozenset(
    [
        "a",
        "about",
        "all",
        "an",
        "and",
        "any",
        "are",
        "as",
        "at",
        "be",
        "by",
        "can",
        "do",
        "does",
        "for",
        "from",
        "get",
        "give",
        "have",
        "how",
        "i",
        "in",
        "into",
        "is",
        "it",
        "make",
        "me",
        "my",
        "need",
        "of",
        "on",
        "or",
        "please",
        "should",
        "show",
        "some",
        "that",
        "the",
        "this",
        "to",
        "use",
        "used",
        "using",
        "want",
        "way",
        "we",
        "what",
        "when",
        "where",
        "which",
        "who",
        "why",
        "will",
        "with",
        "you",
        "your",
    ]
)


class Tier(IntEnum):
    PARTIAL = 0  # not all words
    NEAR = 1  # of a word almost like one that is sought
    WITHIN = 2  # of a word that contains it
    LITERAL = 3
    PREFIX = 4  # of the name
    NAME = 5


SCALE = 1_000_000  # the score of a hit is its tier, and between two tiers its rank in so many steps

# How far the rows are that one snapshot shows.
REACHED = f"(SELECT coalesce(max(position), 0) FROM checkpoints WHERE follower = '{SEARCH.name}')"

# How well a text fits costs a look at its words, of which a frequent word has thousands. What the field alone says comes before
# that, and the likely ones are looked at.
GUESS = f"""
CASE field WHEN {Field.NAME:d} THEN 1.0 WHEN {Field.DESCRIPTION:d} THEN 0.5 WHEN {Field.FILE_PATH:d} THEN 0.5 ELSE 0.1 END::float8
"""
MAX_LIKELY = 300  # artifacts
UNLIKELY = 0.3  # of what the field says counts for all others, less than a word in a text
RANK = "CASE WHEN terms.ranked THEN ts_rank('{0.1, 0.3, 0.5, 1.0}', words, terms.query, 1) ELSE 0.001 END::float8"


def _parts(which: str) -> str:
    """search_parts_latest, search_parts_earlier: no project's words are looked for in those of another."""
    return f"""
    SELECT digest, part FROM search_parts
    WHERE project_id = %(project)s::bigint AND {which} AND words @@ terms.query
      AND (terms.needle IS NULL OR strpos(text, terms.needle) > 0)
    """


LATEST_PARTS = _parts("latest")
ALL_PARTS = f"{LATEST_PARTS} UNION ALL {_parts('NOT latest')}"

# Which entries count: those of the latest version, of the one that the label points to, of all.
OF_LATEST = "entries.until IS NULL"
OF_LABEL = "entries.since <= labels.number AND (entries.until IS NULL OR entries.until > labels.number)"
# yanks_pkey. Whether a row of ``labels`` leads to a yanked version.
LABEL_YANKED = """EXISTS (SELECT FROM yanks WHERE yanks.stream_id = labels.stream_id AND yanks.number = labels.number
                   AND yanks.until_position IS NULL)"""
# labels_now. A label that was moved later than the rows go is not known yet.
JOIN_LABELS = f"""
    JOIN labels ON labels.stream_id = entries.stream_id AND labels.name = %(label)s AND until_position IS NULL
               AND labels.since_position <= reached.position AND NOT {LABEL_YANKED}
"""

# The version that is shown: versions_by_position, or that of the label.
LAST_KNOWN = f"""(SELECT number FROM versions WHERE versions.stream_id = page.stream_id AND position <= reached.position
                 AND NOT {YANKED_AT.format(position="reached.position")} ORDER BY position DESC LIMIT 1)"""
LABELED = """(SELECT number FROM labels WHERE labels.stream_id = page.stream_id AND labels.name = %(label)s
              AND until_position IS NULL)"""

# tags_pkey
HAS_TAGS = """(cardinality(%(tags)s::text[]) = 0 OR cardinality(%(tags)s::text[]) = (
        SELECT count(*) FROM tags
        WHERE tags.stream_id = artifacts.stream_id AND until_position IS NULL AND tags.name = ANY(%(tags)s::text[])))"""

# artifacts_by_name: the names between two texts. Without the offset, a plan for any texts reads all names of the project.
NAMED = f"""
    SELECT named.* FROM unnest(%(names_from)s::text[], %(names_to)s::text[]) AS names (first, behind)
    CROSS JOIN LATERAL (
        SELECT stream_id, kind, name FROM artifacts
        WHERE %(by_name)s AND project_id = %(project)s AND kind = ANY(%(kinds)s) AND archived_position IS NULL
          AND name >= first AND name < behind AND {HAS_TAGS}
        OFFSET 0
    ) AS named
"""
NAMED_LABELED = f"""
    SELECT stream_id, kind, name FROM ({NAMED}) AS named
    WHERE EXISTS (SELECT FROM labels, reached WHERE labels.stream_id = named.stream_id AND labels.name = %(label)s
                  AND until_position IS NULL AND since_position <= reached.position AND NOT {LABEL_YANKED})
"""

EVERY = "'{[1,)}'::int4multirange"
# Versions that have all terms that are sought, without those that have one that is not, or are yanked. yanks_pkey
EXCLUDED = """), excluded_from AS (
        SELECT stream_id, range_agg(versions) AS versions FROM seen WHERE negated GROUP BY stream_id
    ), having_left AS (
        SELECT stream_id, terms, level, guess,
               having_all.versions - coalesce(excluded_from.versions, '{}'::int4multirange)
                   - coalesce((SELECT range_agg(int4range(number, number + 1)) FROM yanks
                               WHERE yanks.stream_id = having_all.stream_id AND until_position IS NULL),
                              '{}'::int4multirange) AS versions
        FROM having_all LEFT JOIN excluded_from USING (stream_id)
"""

# What is shown is from the last of these versions.
LAST = "coalesce(upper(page.versions) - 1, shown.number)"
IN_LAST = """
CASE WHEN upper_inf(page.versions) THEN upper_inf(seen.versions) ELSE seen.versions @> (upper(page.versions) - 1) END
"""
# versions_pkey, contents_pkey
DETAILS = """(SELECT bytes FROM versions JOIN contents ON contents.digest = versions.details
            WHERE versions.stream_id = page.stream_id AND versions.number = {number})"""


def among(streams: str) -> str:
    """A condition on ``seen``. As a part of an expression it is a table of hashes; by itself it would be a join."""
    return f"(seen.stream_id IN ({streams})) IS TRUE"


def _query(parts: str, entries: str, joined: str, named: str, number: str, *, ever: bool) -> str:
    """Terms to texts, texts to the streams that have them, streams with all terms to a page of hits with their best places.

    All digests are asked of search_entries_of_digest at once, which walks along its leaves from one to the next.

    The planner expects a row or two of each step. So steps are put together by what is no loop whatever it expects: ``among``, NOT IN
    and FULL JOIN; and an offset keeps it to artifacts_pkey, as it might begin with all artifacts of the project.

    ``ever``: which versions have them follows from those that have each.
    """

    def if_ever(sql: str, otherwise: str = "") -> str:
        return sql if ever else otherwise

    versions = if_ever(", versions")
    return f"""
    WITH terms AS MATERIALIZED (
        SELECT nth, level, negated, ranked, query::tsquery AS query, needle
        FROM unnest(%(nths)s::int[], %(levels)s::int[], %(negated)s::bool[], %(ranked)s::bool[], %(queries)s::text[],
                    %(needles)s::text[]) AS term (nth, level, negated, ranked, query, needle)
    ), reached AS MATERIALIZED (
        SELECT {REACHED} AS position
    ), found AS MATERIALIZED (
        SELECT nth, level, negated, parts.* FROM terms CROSS JOIN LATERAL ({parts}) AS parts
    ), seen AS MATERIALIZED (
        SELECT entries.stream_id, field, path, digest, part, nth, level, negated, {GUESS} AS guess
               {if_ever(", int4range(entries.since, entries.until) AS versions")}
        FROM found FULL JOIN (
            SELECT entries.* FROM search_entries AS entries CROSS JOIN reached {joined}
            WHERE entries.project_id = %(project)s AND digest = ANY(ARRAY(SELECT digest FROM found))
              AND field = ANY(%(fields)s) AND {entries}
        ) AS entries USING (digest)
    ), by_term AS (
        SELECT stream_id, nth, bool_or(negated) AS negated, min(level) AS level, max(guess + 10 * (2 - level)) AS guess
               {if_ever(", range_agg(versions) AS versions")}
        FROM seen WHERE stream_id IS NOT NULL GROUP BY stream_id, nth
    ), rarity AS (
        SELECT nth, ln(1 + (SELECT coalesce(sum(active), 0) + 1 FROM artifact_counts WHERE project_id = %(project)s)::float8
                           / coalesce(nullif(count(*) FILTER (WHERE level = 0), 0), count(*))) AS weight
        FROM by_term GROUP BY nth
    ), having_all AS (
        SELECT stream_id, count(*) FILTER (WHERE NOT negated) AS terms, bool_or(negated) AS excluded, max(level) AS level,
               coalesce(sum((guess - 10 * (2 - level)) * weight) FILTER (WHERE NOT negated), 0) AS guess
               {if_ever(", range_intersect_agg(versions) FILTER (WHERE NOT negated) AS versions")}
        FROM by_term JOIN rarity USING (nth) GROUP BY stream_id
    {if_ever(EXCLUDED)}
    ), hits AS MATERIALIZED (
        SELECT artifacts.stream_id, kind, name, terms, level, guess, false AS by_name {versions}
        FROM {if_ever("having_left", "having_all")} AS having_them
        CROSS JOIN LATERAL (SELECT * FROM artifacts WHERE artifacts.stream_id = having_them.stream_id OFFSET 0) AS artifacts
        WHERE terms >= %(needed)s AND NOT {if_ever("isempty(versions)", "excluded")}
          AND kind = ANY(%(kinds)s) AND archived_position IS NULL AND {HAS_TAGS}
        UNION ALL
        SELECT stream_id, kind, name, %(terms)s, 0, 0, true {if_ever(f", {EVERY} AS versions")} FROM ({named}) AS named
        WHERE stream_id NOT IN (SELECT stream_id FROM having_all WHERE excluded)
    ), likely AS (
        SELECT stream_id FROM hits WHERE NOT by_name
        ORDER BY terms DESC, level, guess DESC, stream_id LIMIT {MAX_LIKELY}
    ), ranked AS (
        SELECT stream_id, sum((rank - 10 * (2 - level)) * weight) AS rank
        FROM (
            SELECT stream_id, nth, min(seen.level) AS level, max({RANK} + 10 * (2 - seen.level)) AS rank
            FROM seen
            JOIN terms USING (nth)
            JOIN search_parts ON project_id = %(project)s::bigint AND search_parts.digest = seen.digest
                             AND search_parts.part = seen.part
            WHERE NOT seen.negated AND terms.level = seen.level AND {among("SELECT stream_id FROM likely")}
            GROUP BY stream_id, nth
        ) AS each JOIN rarity USING (nth) GROUP BY stream_id
    ), placed AS (
        SELECT hits.stream_id, kind, name, max(coalesce(ranked.rank, guess * {UNLIKELY})) AS rank,
               CASE WHEN lower(name) = ANY(%(names)s) THEN {Tier.NAME:d}
                    WHEN bool_or(by_name) THEN {Tier.PREFIX:d}
                    WHEN max(terms) < %(terms)s THEN {Tier.PARTIAL:d}
                    ELSE {Tier.LITERAL:d} - min(level) END AS tier
               {if_ever(", (array_agg(versions ORDER BY by_name))[1] AS versions")}
        FROM hits FULL JOIN ranked USING (stream_id) GROUP BY hits.stream_id, kind, name
    ), scored AS (
        SELECT *, tier * {SCALE} + round(rank / (1 + rank) * {SCALE - 1})::bigint AS score FROM placed
    ), page AS MATERIALIZED (
        SELECT * FROM scored
        WHERE tier >= %(lowest)s AND (%(after)s::bigint IS NULL OR score < %(after)s
              OR (score = %(after)s AND (name, kind) > (%(after_name)s::text COLLATE "C", %(after_kind)s::text)))
        ORDER BY score DESC, name, kind LIMIT %(limit)s
    ), places AS MATERIALIZED (
        SELECT *, row_number() OVER (PARTITION BY stream_id ORDER BY rank DESC, field, path, part) AS place
        FROM (
            SELECT DISTINCT ON (stream_id, field, path) * FROM (
                SELECT seen.stream_id, field, path, digest, part, sum(guess * (1 - 0.3 * level) * weight) AS rank,
                       array_agg(DISTINCT nth ORDER BY nth) AS nths
                FROM seen JOIN rarity USING (nth)
                {if_ever("JOIN page USING (stream_id)")}
                WHERE NOT negated AND {among("SELECT stream_id FROM page")} {if_ever(f"AND {IN_LAST}")}
                GROUP BY seen.stream_id, field, path, digest, part
            ) AS each ORDER BY stream_id, field, path, rank DESC, digest, part
        ) AS best
    )
    SELECT page.stream_id, page.kind, page.name, page.score, shown.number,
           {if_ever(f"lower(page.versions), {LAST}", "NULL::int, NULL::int")},
           {DETAILS.format(number="shown.number")},
           {if_ever(DETAILS.format(number=LAST), "NULL::bytea")},
           (SELECT json_agg(json_build_object('field', field, 'path', path, 'digest', encode(digest, 'hex'), 'part', part,
                                              'terms', nths) ORDER BY place)::text
            FROM places WHERE places.stream_id = page.stream_id AND place <= {MAX_MATCHES})
    FROM page CROSS JOIN reached
    CROSS JOIN LATERAL (SELECT {number} AS number OFFSET 0) AS shown
    ORDER BY score DESC, page.name, kind
    """


LATEST = _query(LATEST_PARTS, OF_LATEST, "", NAMED, LAST_KNOWN, ever=False)
BY_LABEL = _query(ALL_PARTS, OF_LABEL, JOIN_LABELS, NAMED_LABELED, LABELED, ever=False)
EVER = _query(ALL_PARTS, "true", "", NAMED, LAST_KNOWN, ever=True)

# search_words_trigrams: the words of the project that contain each word, and those whose trigrams are like its own.
WITHIN = f"""
SELECT sought.word, ARRAY(
    SELECT word FROM search_words
    WHERE project_id = %(project)s::bigint AND word LIKE '%%' || sought.word || '%%' AND word <> sought.word
    ORDER BY length(word), word LIMIT {MAX_WITHIN}
) FROM unnest(%(words)s::text[]) AS sought (word)
"""
NEAR = f"""
SELECT sought.word, ARRAY(
    SELECT word FROM search_words
    WHERE project_id = %(project)s::bigint AND word %% sought.word AND word <> sought.word
    ORDER BY similarity(word, sought.word) DESC, word LIMIT {MAX_NEAR}
) FROM unnest(%(words)s::text[]) AS sought (word)
"""
SET_SIMILARITY = f"SELECT set_config('pg_trgm.similarity_threshold', '{SIMILARITY}', true)"
# A plan for certain words is no other, and to make one for each search takes longer than to find a rare word.
SET_ONE_PLAN = "SELECT set_config('plan_cache_mode', 'force_generic_plan', true)"


class Place(msgspec.Struct, frozen=True):
    """A text that has terms of the query, by their numbers; ``digest`` in hex, ``part`` as in ``words.parts``."""

    field: int
    path: str
    digest: str
    part: int
    terms: list[int]


class Hit(msgspec.Struct, frozen=True):
    """``version`` is the one that was looked through; of ``ever``, ``first`` and ``last`` are versions that have all terms.

    ``details`` are those of ``version``, encoded, ``last_details`` those of ``last``.
    """

    stream_id: UUID
    kind: str
    name: str
    score: int
    version: int
    first: int | None
    last: int | None
    details: bytes
    last_details: bytes | None
    places: list[Place]


class Cursor(msgspec.Struct, frozen=True, array_like=True):
    """The last hit of a page."""

    score: int
    name: str
    kind: str

    def __str__(self) -> str:
        return base64.urlsafe_b64encode(msgspec.json.encode(self)).decode().rstrip("=")

    @classmethod
    def behind(cls, hit: Hit) -> "Cursor":
        return cls(hit.score, hit.name, hit.kind)

    @classmethod
    def parse(cls, text: str) -> "Cursor":
        """Raises Invalid."""
        try:
            data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
            cursor = msgspec.json.decode(data, type=cls)
            if 0 <= cursor.score < 2**62 and "\0" not in cursor.name + cursor.kind:
                return cursor
        except ValueError:
            pass
        raise Invalid("This must be the `next_cursor` of a page of the same search.", attr="cursor")


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """``partly``: artifacts that have some of the words count, too, below all others."""

    project_id: int
    text: str
    terms: Sequence[Term]
    kinds: Collection[str]
    fields: Collection[Field] = tuple(Field)
    label: str | None = None
    tags: Sequence[str] = ()
    ever: bool = False
    partly: bool = False


class Found(msgspec.Struct, frozen=True):
    """A page. ``sought``: for each term what to show of it, folded; ``cursor``: where the next page begins if there is one."""

    hits: list[Hit]
    sought: list[list[str]]
    cursor: Cursor | None = None


async def find(conn: Connection, query: Query, *, limit: int, after: Cursor | None = None) -> Found:
    """Up to ``limit`` hits behind ``after``."""
    terms = _counted(query)
    words = [term.word for term in terms if term.word and not term.negated and len(term.word) >= MIN_WITHIN]
    if all(term.negated for term in terms):
        return Found([], [])
    sql = (EVER if query.ever else LATEST if query.label is None else BY_LABEL).encode()
    params = _params(query, terms, limit, after)
    others: Others = {}
    rows: list[Any] = []
    async with conn.transaction():
        await conn.execute(SET_ONE_PLAN)
        if after is None or after.score >= Tier.LITERAL * SCALE:
            rows = await (await conn.execute(sql, literal(query, limit, after), binary=True)).fetchall()
        if len(rows) <= limit and (words or query.partly):
            others = await _others(conn, query.project_id, words[:MAX_FUZZY])
            params |= _columns(terms, others)
            rows = await (await conn.execute(sql, params, binary=True)).fetchall()
    # Of one whose first version came after the rows, nothing can be shown yet.
    hits = [_hit(row) for row in rows[:limit] if row[4] is not None]
    sought = [[term.text, *(word for found in others.get(term.text, ()) for word in found)] for term in terms]
    last = rows[limit - 1] if len(rows) > limit else None
    return Found(hits, sought, None if last is None else Cursor(last[3], last[2], last[1]))


def literal(query: Query, limit: int, after: Cursor | None = None) -> dict[str, Any]:
    """The parameters of the statement that finds what has all terms as they are written."""
    terms = _counted(query)
    params = _params(query, terms, limit, after)
    return {**params, **_columns(terms, {}), "needed": params["terms"], "lowest": int(Tier.LITERAL)}


def _hit(row: Sequence[Any]) -> Hit:
    values = [*row[:-1], msgspec.json.decode(row[-1] or "[]", type=list[Place])]
    return Hit(*values)


def _counted(query: Query) -> list[Term]:
    """The terms that a hit has to have; of a question, not those that any text has."""
    terms = list(query.terms)
    if not query.partly:
        return terms
    telling = [term for term in terms if term.negated or term.text not in EMPTY_WORDS]
    return telling if any(not term.negated for term in telling) else terms


def _params(query: Query, terms: Sequence[Term], limit: int, after: Cursor | None) -> dict[str, Any]:
    wanted = sum(not term.negated for term in terms)
    folded = fold(query.text)
    # As names are written, with the case of the query, which counts in names of prompts, and without.
    starts = {"-".join(text.split()) for text in (query.text, folded)}
    by_name = Field.NAME in query.fields
    return {
        "project": query.project_id,
        "kinds": list(query.kinds),
        "fields": [int(field) for field in query.fields],
        "label": query.label,
        "tags": list(query.tags),
        "terms": wanted,
        "needed": 1 if query.partly else wanted,
        "lowest": int(Tier.PARTIAL),
        "names": ["-".join(folded.split()), "_".join(folded.split())] if by_name else [],
        "by_name": by_name and len(folded) > 1,
        "names_from": list(starts),
        "names_to": [start + "\U0010ffff" for start in starts],
        "limit": limit + 1,
        "after": None if after is None else after.score,
        "after_name": "" if after is None else after.name,
        "after_kind": "" if after is None else after.kind,
    }


Others = Mapping[str, tuple[list[str], list[str]]]


def _columns(terms: Sequence[Term], others: Others) -> dict[str, list[Any]]:
    """The columns of ``terms``; ``others`` are words that may stand for one."""
    rows: list[tuple[int, int, bool, bool, str, str | None]] = []
    for nth, term in enumerate(terms):
        ranked = nth < MAX_RANKED and not term.negated
        rows.append((nth, 0, term.negated, ranked, term.query, term.needle))
        if not term.negated and term.word is not None:
            for level, found in enumerate(others.get(term.word, ()), 1):
                if found:
                    rows.append((nth, level, False, ranked, any_of(found), None))
    names = ("nths", "levels", "negated", "ranked", "queries", "needles")
    return {name: list(column) for name, column in zip(names, zip(*rows, strict=True), strict=True)}


async def _others(conn: Connection, project_id: int, words: Sequence[str]) -> Others:
    """For each word those of the project that contain it, and those that are almost like it; in a transaction."""
    if not words:
        return {}
    near = [word for word in words if MIN_NEAR <= len(word) <= MAX_NEAR_LENGTH and not word.isdigit()]
    await conn.execute(SET_SIMILARITY)
    params = {"project": project_id, "words": list(words)}
    within = dict(await (await conn.execute(WITHIN.encode(), params)).fetchall())
    params = {"project": project_id, "words": near}
    like = dict(await (await conn.execute(NEAR.encode(), params)).fetchall()) if near else {}
    return {
        word: (
            within.get(word, []),
            [other for other in like.get(word, []) if word not in other and is_near(word, other)],
        )
        for word in words
    }


def is_near(one: str, other: str) -> bool:
    """Whether one is the other with a letter more, less, another one, or two in the other order; of long words, twice."""
    most = 1 if len(one) < 8 else 2
    if abs(len(one) - len(other)) > most:
        return False
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, letter in enumerate(one, 1):
        before, row, above = row, [i], before
        for j, compared in enumerate(other, 1):
            cost = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (letter != compared))
            if i > 1 and j > 1 and letter == other[j - 2] and one[i - 2] == compared:
                cost = min(cost, above[j - 2] + 1)
            row.append(cost)
        if min(row) > most:
            return False
    return row[-1] <= most
