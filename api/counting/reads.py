"""Counts of reads: kept in the process, added to the database together.

A read costs no round trip. What has been counted is added every ``EVERY`` seconds, and when the process ends; a process that is
killed loses no more than that. While the database is away the counts wait, as many different ones as ``MAX_CELLS``.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from time import time
from typing import Any
from uuid import UUID, uuid4

import msgspec
import psycopg
from litestar import Request, Response

from api.cache.shared_memory import Encoded
from api.counting.doors import API, UNCOUNTED, door_of
from api.http.context import record
from api.http.responses import RawResponse, header
from api.http.state import HEAD_ONLY
from api.services import services
from projections.read.versions import Version
from store.postgres.pool import Pool
from store.tables import usage
from store.tables.identity import Principal
from store.tables.usage import NOBODY, Count

logger = logging.getLogger(__name__)

EVERY = 10.0  # seconds; many reads of one version by one key are one row, so that the database hardly notices
RETRY = 5.0  # seconds
# Different counts that are added before the time: a row each, some 300 bytes here.
FULL = 10_000
BATCH = 2_000  # rows of a statement, which take some milliseconds to put together
# Different counts that wait while the database is away: some 30 MB.
MAX_CELLS = 100_000
# Seconds that the last counts may take when the process ends: less than its master gives it.
END_WITHIN = 5.0
HOUR = 3600

# How the JSON of a version begins, so that it need not be read as a whole.
ID = b'{"id":"'
ID_ENDS = len(ID) + 36

# Of a kind and a door: reads, and those that were answered 304.
Observe = Callable[[str, str, int, int], None]


class Identified(msgspec.Struct):
    """A version in JSON."""

    id: UUID


class Cell:
    """Reads of one version by one reader through one door in one hour."""

    __slots__ = (
        "door", "first_at", "hour", "is_share", "kind", "last_at", "reader", "reads", "revalidated", "version_id",
    )  # fmt: skip

    def __init__(
        self, kind: str, version_id: UUID, reader: UUID, is_share: bool, door: str, hour: int, now: float
    ) -> None:
        self.kind, self.version_id = kind, version_id
        self.reader, self.is_share, self.door = reader, is_share, door
        self.hour = hour
        self.reads = self.revalidated = 0
        self.first_at = self.last_at = now


class Batch(msgspec.Struct, frozen=True):
    """What is added in one transaction, or again when it is not known whether it was."""

    number: int
    counts: list[Count]

    @property
    def total(self) -> int:
        return sum(count.reads + count.revalidated for count in self.counts)


class ReadCounter:
    """The counts of one process. ``start`` it in the loop that serves; ``close`` adds what is left."""

    def __init__(
        self, pool: Pool, *, observe: Observe = lambda *_: None, lost: Callable[[int], None] = lambda _: None
    ) -> None:
        self._pool = pool
        self._observe = observe
        self._observe_lost = lost
        self._writer = uuid4()
        self._number = self._rows_pending = 0
        self._pending: deque[Batch] = deque()
        # Of the hour that goes on, by what tells them apart; the same by what the fast path has at hand; of the hours before.
        self._cells: dict[tuple[UUID, UUID, str], Cell] = {}
        self._cached: dict[tuple[bytes, bytes, str], Cell] = {}
        self._over: list[Cell] = []
        self._hour = 0
        self._hour_ends = 0.0
        # Takes what is too much.
        self._lost = Cell("", NOBODY, NOBODY, False, "", 0, 0.0)
        self._full = asyncio.Event()
        self._adding = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None

    # RESULTS.md: "a read counted in the process"
    def count_cached(
        self, entry: Encoded, kind: str, principal: Principal, user_agent: bytes | None, *, unchanged: bool
    ) -> None:
        """Count a read that the fast path answers; ``unchanged`` by 304."""
        now = time()
        if now >= self._hour_ends:
            self._begin_hour(now)
        door = door_of(user_agent, API)
        key = (entry.etag, principal.digest, door)
        cell = self._cached.get(key)
        if cell is None:
            cell = self._cell(kind, version_id_of(entry), principal.key_id, False, door, now)
            if len(self._cached) < MAX_CELLS:
                self._cached[key] = cell
        if unchanged:
            cell.revalidated += 1
        else:
            cell.reads += 1
        cell.last_at = now

    def count(
        self,
        scope: Any,
        kind: str,
        read: Version | Encoded | UUID,
        *,
        door: str = API,
        unchanged: bool = False,
    ) -> None:
        """Count a read of a version by the request with this ASGI scope, whose way is ``door`` unless it says otherwise."""
        if HEAD_ONLY in scope["state"]:
            return
        found = record(scope)
        if found.door is None:
            door = door_of(header(scope["headers"], b"user-agent"), door)
        elif found.door == UNCOUNTED:
            return
        else:
            door = found.door
        now = time()
        if now >= self._hour_ends:
            self._begin_hour(now)
        version_id = read if isinstance(read, UUID) else version_id_of(read)
        cell = self._cell(kind, version_id, found.key_id or NOBODY, found.opening is not None, door, now)
        if unchanged:
            cell.revalidated += 1
        else:
            cell.reads += 1
        cell.last_at = now

    def _cell(self, kind: str, version_id: UUID, reader: UUID, is_share: bool, door: str, now: float) -> Cell:
        key = (version_id, reader, door)
        cell = self._cells.get(key)
        if cell is None:
            waiting = len(self._cells) + len(self._over) + self._rows_pending
            if waiting >= MAX_CELLS:
                return self._lost
            cell = self._cells[key] = Cell(kind, version_id, reader, is_share, door, self._hour, now)
            if waiting >= FULL:
                self._full.set()
        return cell

    def _begin_hour(self, now: float) -> None:
        self._over += self._cells.values()
        self._cells, self._cached = {}, {}
        self._hour = int(now) // HOUR * HOUR
        self._hour_ends = self._hour + HOUR

    def _take(self) -> None:
        """Make batches of what has been counted."""
        cells = [*self._over, *self._cells.values()]
        self._over, self._cells, self._cached = [], {}, {}
        self._full.clear()
        self._report(cells)
        for start in range(0, len(cells), BATCH):
            self._number += 1
            self._pending.append(
                Batch(self._number, [_count_of(cell) for cell in cells[start : start + BATCH]])
            )
        self._rows_pending = len(cells)

    def _report(self, cells: Iterable[Cell]) -> None:
        for cell in cells:
            self._observe(cell.kind, cell.door, cell.reads, cell.revalidated)
        if lost := self._lost.reads + self._lost.revalidated:
            logger.warning("%d reads are not counted: the database has taken no counts for long", lost)
            self._observe_lost(lost)
            self._lost.reads = self._lost.revalidated = 0

    async def add(self) -> bool:
        """Add everything that has been counted until now; whether the database took it."""
        async with self._adding:
            if not await self._add_pending():
                return False
            self._take()
            return await self._add_pending()

    async def _add_pending(self) -> bool:
        while self._pending:
            batch = self._pending[0]
            try:
                async with self._pool.connection() as conn:
                    await usage.add(conn, self._writer, batch.number, batch.counts)
            except (psycopg.Error, OSError) as error:
                logger.warning("the counts of reads have to wait: %s", type(error).__name__)
                return False
            self._pending.popleft()
            self._rows_pending -= len(batch.counts)
        return True

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="reads")

    async def _run(self) -> None:
        pause = EVERY
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._full.wait(), pause)
            pause = EVERY if await self.add() else RETRY
            if pause == RETRY:
                self._full.clear()

    async def close(self) -> None:
        """Add what is left; what the database does not take by then is lost."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        with suppress(TimeoutError):
            async with asyncio.timeout(END_WITHIN):
                if await self.add():
                    return
        left = sum(batch.total for batch in self._pending) + sum(
            cell.reads + cell.revalidated for cell in (*self._over, *self._cells.values())
        )
        logger.error("%d reads are not counted: the database does not take them", left)


def counted(
    request: Request[Any, Any, Any],
    kind: str,
    read: Version | Encoded | UUID,
    response: Response[Any],
    *,
    door: str = API,
) -> Response[Any]:
    """``response``, counted as a read of the version that it shows."""
    unchanged = isinstance(response, RawResponse) and response.answer.status == 304
    services(request).read_counter.count(request.scope, kind, read, door=door, unchanged=unchanged)
    return response


def version_id_of(read: Version | Encoded) -> UUID:
    if isinstance(read, Encoded):
        if read.body.startswith(ID):
            return UUID(read.body[len(ID) : ID_ENDS].decode())
        return msgspec.json.decode(read.body, type=Identified).id
    return read.id


def _count_of(cell: Cell) -> Count:
    return Count(
        cell.version_id,
        cell.hour,
        cell.door,
        cell.reader,
        cell.is_share,
        cell.reads,
        cell.revalidated,
        cell.first_at,
        cell.last_at,
    )
