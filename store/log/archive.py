"""The log and its contents as one portable file: a gzipped tar of NDJSON and contents, in an order that streams.

``archive.json`` says what is inside, then come ``projects.ndjson``, ``users.ndjson``, ``contents/<sha256>`` and
``events/<first position>.ndjson``. Read models and keys are not in it: the first are made from the log, the second are
made anew.
"""

import hashlib
import io
import tarfile
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import psycopg
from psycopg import Connection, IsolationLevel

from domain.maintenance import LogRewound

FORMAT = 1
CHUNK = 10_000  # events of one member of the tar; what is in memory at once
BATCH = 500  # contents fetched at once

Progress = Callable[[int, int], None]


class ArchiveError(Exception):
    """The file is no archive of ours, is damaged, or does not fit into this database; nothing was written."""


class Contents(msgspec.Struct, frozen=True):
    """``archive.json``: the format, the last position and how much there is; from which position on git has attributes."""

    format: int
    position: int
    contents: int
    git_attributes_since: int = 0


class ArchivedEvent(msgspec.Struct, frozen=True):
    """One line of events: the envelope and the state as it is in the log."""

    position: int
    stream_id: UUID
    stream_version: int
    topic: str
    state: msgspec.Raw
    recorded_at: datetime
    project_id: int | None
    actor_id: int | None
    key_id: UUID | None
    command_id: UUID
    correlation_id: str | None


EVENTS = """
SELECT position, stream_id, stream_version, topic, state, recorded_at, project_id, actor_id, key_id, command_id,
       correlation_id
FROM events WHERE position > %s ORDER BY position LIMIT %s
"""
COUNTS = "SELECT (SELECT coalesce(max(position), 0) FROM events), (SELECT count(*) FROM contents), (SELECT since FROM git_attributes)"
PROJECTS = "SELECT row_to_json(projects)::text FROM projects ORDER BY id"
USERS = "SELECT row_to_json(users)::text FROM users ORDER BY id"
ORGANIZATIONS = "SELECT row_to_json(organizations)::text FROM organizations ORDER BY id"

# events_pkey
NOTE_HISTORIES = f"""
INSERT INTO histories (begins, shared, previous, server, began_at)
SELECT 0, 0, 0, 'imported', clock_timestamp()
UNION ALL
SELECT position, (convert_from(state, 'UTF8')::jsonb ->> 'shared')::bigint,
    (SELECT max(before.position) FROM events AS before WHERE before.position < events.position), 'imported', recorded_at
FROM events WHERE topic = '{LogRewound.TOPIC}'
"""

TABLES = {"organizations": ORGANIZATIONS, "projects": PROJECTS, "users": USERS}


def export(dsn: str, path: Path, *, progress: Progress | None = None) -> Contents:
    """Write a snapshot of the log to ``path``; memory stays flat however long the log is. The service may go on writing."""
    with psycopg.connect(dsn, application_name="skald-export") as conn:
        conn.isolation_level = IsolationLevel.REPEATABLE_READ
        conn.read_only = True
        row = conn.execute(COUNTS).fetchone() or (0, 0, 0)
        about = Contents(FORMAT, *row)
        temporary = path.with_name(path.name + ".part")
        # It holds people's names, so it is its owner's alone, also when an export that was cut off has left one behind.
        temporary.unlink(missing_ok=True)
        temporary.touch(mode=0o600, exist_ok=False)
        with tarfile.open(temporary, "w:gz", compresslevel=6) as tar:
            _add(tar, "archive.json", msgspec.json.encode(about))
            for table, query in TABLES.items():
                lines = [line.encode() for (line,) in conn.execute(query.encode())]
                _add(tar, f"{table}.ndjson", b"".join(line + b"\n" for line in lines))
            for digest, data in _contents(conn):
                _add(tar, f"contents/{digest.hex()}", data)
            position = 0
            while events := conn.execute(EVENTS, (position, CHUNK), binary=True).fetchall():
                _add(tar, f"events/{events[0][0]:020d}.ndjson", b"".join(map(_line, events)))
                position = events[-1][0]
                if progress is not None:
                    progress(position, about.position)
        temporary.rename(path)
    return about


def _contents(conn: "Connection[Any]") -> Iterator[tuple[bytes, bytes]]:
    with conn.cursor("contents", binary=True) as cursor:
        cursor.itersize = BATCH
        cursor.execute("SELECT digest, bytes FROM contents ORDER BY digest")
        yield from cursor


def _line(row: tuple[Any, ...]) -> bytes:
    values = (*row[:4], msgspec.Raw(row[4]), *row[5:])
    return msgspec.json.encode(dict(zip(ArchivedEvent.__struct_fields__, values, strict=True))) + b"\n"


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    member.mode = 0o600
    tar.addfile(member, io.BytesIO(data))


def load(dsn: str, path: Path, *, progress: Progress | None = None) -> Contents:
    """Put an archive into an empty database, positions and ids kept, in one transaction.

    The read models are left empty: ``projections.rebuild.rebuild.replay`` makes them. Raises ArchiveError.
    """
    try:
        with tarfile.open(path, "r:gz") as tar, psycopg.connect(dsn, application_name="skald-import") as conn:
            return _load(conn, iter(tar), tar, progress)
    except (tarfile.TarError, EOFError, OSError) as error:
        raise ArchiveError(f"{path} cannot be read: {error}") from error


def _load(
    conn: "Connection[Any]",
    members: Iterator[tarfile.TarInfo],
    tar: tarfile.TarFile,
    progress: Progress | None,
) -> Contents:
    about: Contents | None = None
    position = contents = 0
    for member in members:
        file = tar.extractfile(member)
        if file is None:
            raise ArchiveError(f"{member.name} is no file")
        data = file.read()
        folder, _, name = member.name.rpartition("/")
        if member.name == "archive.json":
            about = msgspec.json.decode(data, type=Contents)
            if about.format != FORMAT:
                raise ArchiveError(f"this is format {about.format}; this version reads format {FORMAT}")
            _check_empty(conn)
            conn.execute("UPDATE git_attributes SET since = %s", (about.git_attributes_since,))
        elif about is None:
            raise ArchiveError("archive.json has to come first")
        elif folder == "contents":
            _check_digest(name, data)
            conn.execute(
                "INSERT INTO contents VALUES (%s, %s) ON CONFLICT DO NOTHING", (bytes.fromhex(name), data)
            )
            contents += 1
        elif folder == "events":
            position = _load_events(conn, data, position)
            if progress is not None:
                progress(position, about.position)
        elif name.removesuffix(".ndjson") in TABLES:
            _load_rows(conn, name.removesuffix(".ndjson"), data)
    # The next events are of a history of their own: the log that this one was exported from may have gone on.
    conn.execute("DELETE FROM histories")
    conn.execute(NOTE_HISTORIES)
    if about is None or (position, contents) != (about.position, about.contents):
        raise ArchiveError(
            f"it ends at position {position} with {contents} contents, and should have {about}"
        )
    return about


def _check_empty(conn: "Connection[Any]") -> None:
    # No writer may slip in between this look and the end of the import.
    conn.execute("LOCK TABLE events, contents IN EXCLUSIVE MODE")
    row = conn.execute("SELECT (SELECT count(*) FROM artifacts), (SELECT count(*) FROM events)").fetchone()
    if row is None or row[0] or row[1]:
        raise ArchiveError("the database has a log already; import into an empty one")


def _check_digest(name: str, data: bytes) -> None:
    if hashlib.sha256(data).hexdigest() != name:
        raise ArchiveError(f"content {name} is damaged")


def _load_events(conn: "Connection[Any]", data: bytes, position: int) -> int:
    decoder = msgspec.json.Decoder(ArchivedEvent)
    with conn.cursor() as cursor, cursor.copy(COPY) as copy:
        for line in data.splitlines():
            event = decoder.decode(line)
            begins = event.topic == LogRewound.TOPIC and event.position > position
            if event.position != position + 1 and not begins:
                raise ArchiveError(f"position {position + 1} is missing")
            position = event.position
            values: list[Any] = [getattr(event, field) for field in ArchivedEvent.__struct_fields__]
            values[4] = bytes(event.state)
            copy.write_row(values)
    return position


COPY = f"COPY events ({', '.join(ArchivedEvent.__struct_fields__)}) FROM STDIN"


def _load_rows(conn: "Connection[Any]", table: str, data: bytes) -> None:
    for line in data.splitlines():
        conn.execute(
            f"INSERT INTO {table} OVERRIDING SYSTEM VALUE"
            f" SELECT * FROM json_populate_record(NULL::{table}, %s::json) ON CONFLICT DO NOTHING".encode(),
            (line.decode(),),
        )
    if table != "organizations":
        conn.execute(
            f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), greatest(max(id), 1)) FROM {table}".encode()
        )
