"""What a search looks through: the tables ``search_entries``, ``search_parts`` and ``search_words``.

An entry says which versions of a stream have which text, a text stands once in a project, by its digest, in parts. Nothing is
ever taken away: what no latest version has any more is found by a label, or in all versions.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from enum import IntEnum
from typing import NamedTuple, Protocol
from uuid import UUID

from domain.artifacts.skills import Skill
from domain.artifacts.versioned import Versioned
from domain.content import Ref, served
from projections.write import words
from projections.write.changes import Change
from store.log.statements import Row, SetStatement, Writes, arrays
from store.postgres.connection import Connection


class Field(IntEnum):
    NAME = 1
    DESCRIPTION = 2
    BODY = 3
    FILE_PATH = 4
    FILE_CONTENT = 5


# Of words in them; in a body and a file, headings have C and all else the lowest one.
WEIGHTS = {Field.NAME: "A", Field.DESCRIPTION: "B", Field.FILE_PATH: "B"}

ENTRY = "stream_id uuid, field smallint, path text, since int, until int, project_id bigint, digest bytea"

# search_entries_pkey
ENDED = SetStatement(
    "search_entries.end",
    10,
    f"""
    UPDATE search_entries SET until = ended.until
    FROM {arrays("stream_id uuid, field smallint, path text, until int")} AS ended
    WHERE search_entries.stream_id = ended.stream_id AND search_entries.field = ended.field
      AND search_entries.path = ended.path AND search_entries.until IS NULL
    """,
)

BEGUN = SetStatement(
    "search_entries.begin",
    20,
    f"""
    INSERT INTO search_entries (stream_id, field, path, since, until, project_id, digest)
    SELECT * FROM {arrays(ENTRY)} AS new
    ON CONFLICT (stream_id, field, path, since) DO UPDATE SET digest = excluded.digest, until = excluded.until
    """,
)

# search_parts_pkey
STORED = SetStatement(
    "search_parts.store",
    30,
    f"""
    INSERT INTO search_parts (project_id, digest, part, latest, words, text)
    SELECT project_id, digest, part, true, words::tsvector, text
    FROM {arrays("project_id bigint, digest bytea, part smallint, words text, text text")} AS new
    ON CONFLICT (project_id, digest, part) DO UPDATE SET latest = true WHERE NOT search_parts.latest
    """,
)

LATEST = SetStatement(
    "search_parts.latest",
    31,
    f"""
    UPDATE search_parts SET latest = true
    FROM {arrays("project_id bigint, digest bytea")} AS new
    WHERE search_parts.project_id = new.project_id AND search_parts.digest = new.digest AND NOT latest
    """,
)

# search_parts_pkey, search_entries_of_digest
EARLIER = SetStatement(
    "search_parts.earlier",
    40,
    f"""
    UPDATE search_parts SET latest = false
    FROM {arrays("project_id bigint, digest bytea")} AS old
    WHERE search_parts.project_id = old.project_id AND search_parts.digest = old.digest AND latest
      AND NOT EXISTS (
          SELECT FROM search_entries
          WHERE search_entries.project_id = old.project_id AND search_entries.digest = old.digest AND until IS NULL
      )
    """,
)

WORDS_ADDED = SetStatement(
    "search_words.add",
    50,
    f"""
    INSERT INTO search_words (project_id, word)
    SELECT * FROM {arrays("project_id bigint, word text")} AS new
    WHERE NOT EXISTS (
        SELECT FROM search_words WHERE search_words.project_id = new.project_id AND search_words.word = new.word
    )
    """,
)

STATEMENTS = (ENDED, BEGUN, STORED, LATEST, EARLIER, WORDS_ADDED)

# search_parts_pkey, contents_pkey: a text that the project has is not read again.
NEEDED = f"""
SELECT digest, bytes
FROM (SELECT DISTINCT digest FROM {arrays("project_id bigint, digest bytea")} AS begun
      WHERE NOT EXISTS (SELECT FROM search_parts
                        WHERE search_parts.project_id = begun.project_id AND search_parts.digest = begun.digest)) AS needed
LEFT JOIN contents USING (digest)
"""


class ContentLost(Exception):
    """A content that an event names is not stored."""

    def __init__(self, digest: bytes) -> None:
        super().__init__(f"the content {digest.hex()} is lost")


class Readable(Protocol):
    """What has to be known of a kind."""

    def readable(self, data: bytes) -> str | None:
        """A content as text, None when it is none."""
        ...


Key = tuple[Field, str]


class Text(NamedTuple):
    """A text of a version: a content, or (``text``) a short one that has a digest of its own."""

    digest: bytes
    text: str | None = None
    size: int = 0


def texts(artifact: Versioned) -> Iterator[tuple[Key, Text]]:
    """All that a search looks for in the latest version, by field and path."""
    yield (Field.NAME, ""), short(Field.NAME, artifact.name)
    yield (Field.BODY, ""), _content(artifact.text)
    if isinstance(artifact, Skill):
        yield (Field.DESCRIPTION, ""), short(Field.DESCRIPTION, artifact.fields.description)
        for path, file in served(artifact.files).items():
            yield (Field.FILE_PATH, path), short(Field.FILE_PATH, path)
            if file.line_count is not None:
                yield (Field.FILE_CONTENT, path), _content(file.ref)


def short(field: Field, text: str) -> Text:
    """The field is part of the digest, because its words weigh otherwise than those of a content."""
    return Text(hashlib.sha256(f"{field.name}:{text}".encode()).digest(), text)


def _content(ref: Ref) -> Text:
    return Text(ref.digest, None, ref.size)


class Difference(NamedTuple):
    begun: dict[Key, Text]
    ended: dict[Key, Text]


def difference(change: Change) -> Difference:
    """What the artifact says since this change, and what it does not say any more."""
    before, after = change.before, change.after
    if before is not None and (before.number, before.name) == (after.number, after.name):
        return Difference({}, {})
    old = dict(texts(before)) if before is not None else {}
    new = dict(texts(after))
    begun = {key: text for key, text in new.items() if key not in old or old[key].digest != text.digest}
    return Difference(begun, {key: text for key, text in old.items() if key in begun or key not in new})


def _since(change: Change) -> int:
    """From which version on the difference counts. A yank brings none: what is the latest by it is what the next one begins with."""
    before, after = change.before, change.after
    yanked = before is not None and before.highest == after.highest and before.number != after.number
    return after.highest + 1 if yanked else after.number


def size_of(change: Change) -> int:
    """Bytes of the contents that its rows may be made of."""
    return sum(text.size for text in difference(change).begun.values())


async def read(conn: Connection, changes: Sequence[Change]) -> Mapping[bytes, bytes]:
    """The contents by digest that ``fold`` makes rows of. Raises ContentLost."""
    begun = {
        (change.project_id, text.digest)
        for change in changes
        for text in difference(change).begun.values()
        if text.text is None
    }
    if not begun:
        return {}
    cursor = await conn.execute(NEEDED.encode(), SetStatement.columns(list(begun)), binary=True)
    found: dict[bytes, bytes | None] = dict(await cursor.fetchall())
    for digest, data in found.items():
        if data is None:
            raise ContentLost(digest)
    return {digest: data for digest, data in found.items() if data is not None}


def fold(changes: Sequence[Change], contents: Mapping[bytes, bytes], kinds: Mapping[str, Readable]) -> Writes:
    """Pure; ``contents`` is what ``read`` gave."""
    batch = _Batch(contents)
    for change in changes:
        batch.take(change, kinds[change.after.KIND])
    return batch.rows()


class _Batch:
    """The rows of the changes so far."""

    def __init__(self, contents: Mapping[bytes, bytes]) -> None:
        self._contents = contents
        self._entries: dict[tuple[UUID, Key, int], list[object]] = {}
        # Of what begins in this batch, and has not ended in it, the place of its row.
        self._open: dict[tuple[UUID, Key], tuple[UUID, Key, int]] = {}
        self._ended: list[Row] = []
        self._parts: dict[tuple[int, bytes], list[Row]] = {}
        self._latest: set[tuple[int, bytes]] = set()
        self._earlier: set[tuple[int, bytes]] = set()
        self._words: set[tuple[int, str]] = set()

    def take(self, change: Change, kind: Readable) -> None:
        stream, number, project = change.after.id, _since(change), change.project_id
        begun, ended = difference(change)
        for key, text in ended.items():
            self._earlier.add((project, text.digest))
            if key[0] is Field.NAME:
                continue
            place = self._open.pop((stream, key), None)
            if place is None:
                self._ended.append((stream, int(key[0]), key[1], number))
            else:
                self._entries[place][4] = number
        for key, text in begun.items():
            # All versions have one name, the last one: by it they are read.
            since = 1 if key[0] is Field.NAME else number
            place = (stream, key, since)
            self._entries[place] = [stream, int(key[0]), key[1], since, None, project, text.digest]
            self._open[stream, key] = place
            self._store(project, key[0], text, kind)

    def _store(self, project: int, field: Field, text: Text, kind: Readable) -> None:
        key = (project, text.digest)
        if key in self._parts:
            return
        if text.text is not None:
            found: str | None = text.text
        elif text.digest in self._contents:
            found = kind.readable(self._contents[text.digest])
        else:
            self._latest.add(key)
            return
        if found is None:
            return
        rows = self._parts[key] = []
        for part in words.parts(found, WEIGHTS.get(field, "")):
            rows.append((*key, part.number, part.words, part.text))
            self._words.update((project, word) for word in words.known(part.text))

    def rows(self) -> Writes:
        rows: dict[SetStatement, list[Row]] = {
            ENDED: self._ended,
            BEGUN: [tuple(row) for row in self._entries.values()],
            STORED: [row for rows in self._parts.values() for row in rows],
            LATEST: list(self._latest),
            EARLIER: list(self._earlier),
            WORDS_ADDED: list(self._words),
        }
        return {statement: some for statement, some in rows.items() if some}
