"""Requests that compare versions: what differs between two, and which one brought each line."""

import re
from collections.abc import Mapping
from contextlib import aclosing
from typing import Any, NamedTuple, get_args

import msgspec
from litestar import Request, Response

from api.artifacts import common as artifacts
from api.artifacts.common import version_number
from api.artifacts.fields import PATH_PATTERN
from api.artifacts.schemas import DiffFormat
from api.cache.reader import RepresentationCache
from api.cache.reads import Reads
from api.http import conditional
from api.http.answers import rendered
from api.http.query import Query
from api.http.requests import project_of, query_of
from api.http.texts import text_answer
from api.offload import offload
from api.openapi.parameters import Param
from api.services import services
from domain.artifacts.skills import Skill, find_file
from domain.artifacts.versioned import VersionEvent
from domain.content import MAX_PATH_LENGTH, normal_path
from domain.errors import Invalid
from domain.names import MAX_LABEL
from projections.compare import blame as blaming
from projections.compare import diff
from projections.compare.blame import Blame, Trail
from projections.compare.diff import Comparison, Document, Hunks
from projections.encoding import timestamp
from projections.events import history
from projections.events.states import Lineage, events_between, line_between, walk
from projections.read import contents, skills, versions
from projections.read.kinds import Kind
from projections.read.sides import BODY, NOTHING
from projections.read.versions import Pick, Version, VersionLine
from store.postgres.connection import Connection

INTEGER = re.compile(r"-?[0-9]+")
LATEST = "latest"
MEDIA_TYPE = "text/x-diff"
READ_BATCH = 20  # contents that a blame holds at a time
LINE = 512  # bytes that a blame has for a line beside its text: a version, its author and time

_SIDE = {
    "type": "string",
    "pattern": r"^([1-9][0-9]{0,8}|[a-z]([a-z0-9._-]*[a-z0-9])?)$",
    "maxLength": MAX_LABEL,
}
FROM = Param(
    "from", _SIDE, "A version, `latest` or a label; the version before the other side when absent.", "1"
)
TO = Param("to", _SIDE, "A version, `latest` or a label; the latest when absent.", LATEST)
FORMAT = Param(
    "format",
    {"type": "string", "enum": list(get_args(DiffFormat)), "default": "json"},
    "`unified` answers with a patch that `git apply` and `patch -p1` take.",
    "json",
)
_PATH = {"type": "string", "maxLength": MAX_PATH_LENGTH, "pattern": PATH_PATTERN}
PATH = Param("path", _PATH, "Only this file, by its path on either side; `SKILL.md` is the body.", "SKILL.md")
BLAME_PATH = Param("path", _PATH, "A file; the body when absent.", "scripts/fill.py")


def side_of(query: Query, name: str) -> Pick:
    """Raises Invalid."""
    text = query.text(name, max_length=MAX_LABEL)
    if text is None or text == LATEST:
        return None
    if INTEGER.fullmatch(text):
        return version_number(query, name)
    return text


def path_of(query: Query) -> str | None:
    """The path of a file in its normal form; ``SKILL.md`` in any case is the body. Raises Invalid."""
    path = query.text("path", trim=False)
    if path is None:
        return None
    if path.lower() == BODY.lower():
        return BODY
    try:
        return normal_path(path)
    except Invalid as error:
        raise error.within("path") from None


class Compared(NamedTuple):
    """What differs between two versions, and the texts behind it by digest."""

    comparison: Comparison
    documents: list[Document]
    texts: dict[bytes, bytes]

    def hunks(self, kind: Kind) -> Hunks:
        """They may take a second."""
        readable = {digest.hex(): kind.readable(content) for digest, content in self.texts.items()}
        return Hunks(self.documents, readable)


async def compared(
    reader: RepresentationCache,
    kind: Kind,
    older: Version | None,
    newer: Version,
    moved: Mapping[str, str] | None,
    path: str | None = None,
) -> Compared:
    """``older`` is None for what was before the first version, ``moved`` what ``moves`` found between the two.

    Raises NotFound for a ``path`` that is on neither side.
    """
    before, after = NOTHING if older is None else kind.side(older), kind.side(newer)
    found = diff.compare(before, after, moved)
    if path is not None:
        if path != BODY and path not in before.files:
            find_file(after.files, path, newer.name)
        found = diff.only(found, path)
    documents = diff.readable(found)
    data = await reader.contents([ref.digest for document in documents for ref in document.refs])
    return Compared(found, documents, data)


async def diff_answer(request: Request[Any, Any, Any], kind: Kind, name: str) -> Response[Any]:
    """Raises Invalid, NotFound, VersionNotFound."""
    query = query_of(request)
    shape = query.choice("format", get_args(DiffFormat)) or "json"
    older_pick, newer_pick = side_of(query, "from"), side_of(query, "to")
    path = path_of(query) if kind.aggregate is Skill else None
    reader, project_id = services(request).reader, project_of(request)

    async def sides(conn: Connection) -> tuple[Version | None, Version, dict[str, str] | None]:
        async with versions.snapshot(conn):
            newer = await reader.version_in(conn, project_id, kind.aggregate.KIND, name, newer_pick)
            older: Version | None = None
            pick = older_pick
            if "from" not in query:
                before, _ = await versions.lines(
                    conn, newer.stream_id, before=newer.number, limit=1, offset=0
                )
                pick = before[0].number if before else None
            if "from" in query or pick is not None:
                older = await reader.version_in(conn, project_id, kind.aggregate.KIND, name, pick)
            return older, newer, await moves(conn, older, newer)

    older, newer, moved = await services(request).reads.ask(sides)
    found = await compared(reader, kind, older, newer, moved, path)

    def compute() -> bytes:
        hunks = found.hunks(kind)
        if shape == "unified":
            return diff.unified(found.comparison, hunks).encode()
        return _diff_json(kind, name, older, newer, found.comparison, hunks)

    body = await offload(compute)
    if shape == "unified":
        return text_answer(request, body, MEDIA_TYPE)
    return conditional.answer(request, body)


async def moves(conn: Connection, older: Version | None, newer: Version) -> dict[str, str] | None:
    """Where the files of ``older`` stand in ``newer``, as the events between say, in either direction of time."""
    if older is None or older.manifest is None or older.manifest == newer.manifest:
        return None
    backwards = older.number > newer.number
    first, last = (newer, older) if backwards else (older, newer)
    paths = skills.read_manifest(first.manifest or b"[]")
    between = events_between(conn, first.stream_id, first.stream_version, last.stream_version)
    line = line_between([event async for event in between], first.number, last.number)
    if not line:
        return None
    moved = diff.moves(paths, line)
    return {path: origin for origin, path in moved.items()} if backwards else moved


def _side_json(version: Version | None) -> dict[str, Any] | None:
    if version is None:
        return None
    return {
        "id": version.id,
        "version": version.number,
        "created_by": msgspec.Raw(version.author),
        "created_at": timestamp(version.created_at),
    }


def _diff_json(
    kind: Kind, name: str, older: Version | None, newer: Version, found: Comparison, hunks: Hunks
) -> bytes:
    fields: dict[str, Any] = {
        "name": name,
        "from": _side_json(older),
        "to": _side_json(newer),
        "fields": found.fields,
    }
    if kind.aggregate is Skill:
        fields["metadata"] = found.metadata
    fields[kind.aggregate.TEXT] = hunks.text(found.text)
    if kind.aggregate is Skill:
        fields["files"] = [hunks.file(document) for document in found.files]
    return msgspec.json.encode(fields)


async def blame_answer(request: Request[Any, Any, Any], kind: Kind, name: str) -> Response[Any]:
    """Raises Invalid, NotFound, VersionNotFound."""
    query = query_of(request)
    number = version_number(query)
    path = path_of(query) if kind.aggregate is Skill else None
    if path == BODY:
        path = None
    served = services(request)
    version = await served.reader.version(project_of(request), kind.aggregate.KIND, name, number)
    found = await blamed(served.reader, served.reads, kind, version, path)
    lines = [
        {
            "line": place,
            "text": text,
            "version": line.number,
            "created_by": msgspec.Raw(line.author),
            "created_at": timestamp(line.created_at),
        }
        for place, (text, line) in enumerate(found.lines, 1)
    ]
    comparison = {
        "name": name,
        "version": version.number,
        "path": path,
        "lines": lines,
        "complete": found.complete,
        "truncated": found.truncated,
    }
    body = await rendered(found.size + len(lines) * LINE, lambda: msgspec.json.encode(comparison))
    return artifacts.picked_answer(request, body)


class Blamed(NamedTuple):
    """Each line of a text of ``size`` bytes with the version that brought it, none when it is ``truncated``.

    ``complete``: all versions behind it were looked at.
    """

    lines: list[tuple[str, VersionLine]]
    complete: bool
    truncated: bool
    size: int


async def blamed(
    reader: RepresentationCache, reads: Reads, kind: Kind, version: Version, path: str | None
) -> Blamed:
    """Of the body, or of the file at ``path``. Raises NotFound."""
    data = version.body
    if path is not None:
        file = find_file(skills.read_manifest(version.manifest or b"[]"), path, version.name)
        data = await reader.content(file.ref.digest)
    text = kind.readable(data)
    if text is None or len(data) > blaming.MAX_BYTES or text.count("\n") >= blaming.MAX_LINES:
        return Blamed([], False, True, len(data))

    async def blame_in(conn: Connection) -> tuple[Blame, bool, dict[int, VersionLine]]:
        blame, complete = await _blame(conn, kind, version, path)
        return blame, complete, await history.lines(conn, version.stream_id, set(blame.numbers))

    blame, complete, found = await reads.ask(blame_in)
    lines = [
        (line.removesuffix("\n"), found[number])
        for line, number in zip(blame.lines, blame.numbers, strict=True)
    ]
    return Blamed(lines, complete, False, len(data))


async def _blame(conn: Connection, kind: Kind, version: Version, path: str | None) -> tuple[Blame, bool]:
    """The lines of a text and whether all versions behind it were looked at."""
    trail = await _trail(conn, kind, version)
    every = trail.of(path)
    steps = blaming.bounded(every)
    blame = Blame()
    for first in range(0, len(steps), READ_BATCH):
        part = steps[first : first + READ_BATCH]
        data = await contents.read(conn, [step.ref.digest for step in part])
        texts = [(step.number, data[step.ref.digest]) for step in part]
        await offload(_advance, blame, kind, texts)
    return blame, len(steps) == len(every)


async def _trail(conn: Connection, kind: Kind, version: Version) -> Trail:
    trail, lineage = Trail(), Lineage()
    async with aclosing(walk(conn, kind.aggregate, version.stream_id, upto=version.stream_version)) as events:
        async for _, event, _, state in events:
            trail.follow(event, state)
            lineage.follow(event)
    if not lineage.branched:
        return trail
    # What is behind a version are those that it was made from, and none that was yanked meanwhile.
    behind, trail = lineage.behind(version.number), Trail()
    async with aclosing(walk(conn, kind.aggregate, version.stream_id, upto=version.stream_version)) as events:
        async for _, event, _, state in events:
            if isinstance(event, VersionEvent) and event.number in behind:
                trail.follow(event, state)
    return trail


def _advance(blame: Blame, kind: Kind, data: list[tuple[int, bytes]]) -> None:
    # What was no text has no lines: the next text brings all of its own.
    blame.advance((number, kind.readable(content) or "") for number, content in data)
