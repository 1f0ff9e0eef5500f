"""Encoded answers to the reads that agents repeat: this process's cache, then Redis, then the read models."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import TypeGuard

import msgspec

from api.cache.lookups import Lookups
from api.cache.lru import LRU
from api.cache.outage import NoPrimary, staleness
from api.cache.positions import StreamPositions
from api.cache.reads import Reads
from api.cache.shared_memory import Encoded, SharedMemoryCache
from api.offload import heavy
from domain.artifacts.labels import no_label
from domain.artifacts.references import Reference
from domain.errors import NameChanged, NotFound, VersionNotFound, Yanked
from projections.encoding import NOT_YANKED, etag_of
from projections.read import contents
from projections.read.kinds import Kind
from projections.read.models import CURRENT, ReadModel
from projections.read.versions import Found, Lookup, Pick, Version, read_by
from projections.redis.views import CachedRepresentation, RedisViews
from store.postgres.connection import Connection
from store.postgres.pool import Pool

ENTRY_OVERHEAD = 600  # bytes of Python objects around an entry

Key = tuple[int, str, str, Pick]


Count = Callable[[str, str], None]


class RepresentationCache:
    """``kinds`` has the functions for each kind that turn a version into its full JSON."""

    def __init__(
        self,
        pool: Pool,
        reads: Reads,
        positions: StreamPositions,
        views: RedisViews | None,
        kinds: Mapping[str, Kind],
        *,
        capacity: int,
        count: Count,
        shared: SharedMemoryCache | None = None,
    ) -> None:
        self._reads = reads
        self._lookups = Lookups(pool, reads)
        self._positions = positions
        self._views = views
        self._kinds = kinds
        self._cache: LRU[Key, Encoded] = LRU(capacity)
        self._contents: LRU[bytes, bytes] = LRU(capacity // 4)
        self._count = count
        self._shared = shared

    def get_cached(self, project_id: int, kind: str, name: str, pick: Pick = None) -> Encoded | None:
        """What this process has, or another of the host has just written, and is known to be true; never waits."""
        key = (project_id, kind, name, pick)
        entry = self._cache.get(key)
        if entry is None:
            return None
        if self._positions.is_fresh(entry.slot, entry.as_of):
            return entry
        return self._shown(key)

    def _shown(self, key: Key) -> Encoded | None:
        """What another process of the host has shown, if it is known to be true."""
        project_id, kind, name, pick = key
        if isinstance(pick, int) or self._shared is None:
            return None
        entry = self._shared.get(_place(project_id, kind, name, pick))
        if entry is None or not self._positions.is_fresh(entry.slot, entry.as_of):
            return None
        self._keep(key, entry)
        return entry

    async def get(self, project_id: int, kind: str, name: str, pick: Pick = None) -> Encoded:
        """The full representation of the latest or of one version. Raises NotFound, VersionNotFound."""
        key = (project_id, kind, name, pick)
        entry = self.get_cached(*key)
        if entry is None and isinstance(pick, str):
            # Redis has none of these.
            entry = self._shown(key)
        self._count("process", "hit" if entry else "miss")
        if entry is not None:
            return entry
        if pick is None and self._views is not None and self._positions.healthy:
            found = await self._views.get(project_id, kind, name)
            if found is not None:
                entry = _encoded(found)
                if self._positions.is_fresh(entry.slot, entry.as_of):
                    self._count("redis", "hit")
                    self._keep(key, entry)
                    return entry
            self._count("redis", "miss")
        outage = self._reads.outage
        if outage is not None and outage.lasts and (entry := await self._last(key)) is not None:
            return entry
        try:
            version = await self.version(project_id, kind, name, pick)
        except NoPrimary:
            if (entry := await self._last(key)) is None:
                raise
            return entry
        if wanted := self._kinds[kind].references(version):
            # It changes with what it refers to, which no position of its own stream tells: it is put together each time.
            body = await self._resolved(project_id, kind, version, pick, wanted)
            return Encoded(body, etag_of(body), StreamPositions.slot(version.stream_id), version.as_of)
        body = read_by(self._kinds[kind].read(version), pick)
        entry = Encoded(body, etag_of(body), StreamPositions.slot(version.stream_id), version.as_of)
        self._keep(key, entry)
        if isinstance(pick, str) and self._shared is not None:
            # A write shows the latest version alone; that of a label is shown by the first read of it.
            self._shared.put(_place(project_id, kind, name, pick), entry)
        if pick is None and self._views is not None:
            self._views.offer(project_id, kind, name, version.stream_id, version.as_of, entry.etag, body)
        return entry

    async def _last(self, key: Key) -> Encoded | None:
        """What was true when the log was last seen, if that is not too long ago for what is asked."""
        outage, (project_id, kind, name, pick) = self._reads.outage, key
        fixed = isinstance(pick, int)
        if outage is None or not (fixed or outage.bridged):
            return None
        entry = self._cache.get(key)
        if not isinstance(pick, int) and not self._was_fresh(entry) and self._shared is not None:
            entry = self._shared.get(_place(project_id, kind, name, pick))
        if pick is None and not self._was_fresh(entry) and self._views is not None:
            found = await self._views.get(project_id, kind, name)
            entry = found and _encoded(found)
        if not self._was_fresh(entry):
            return None
        if not fixed and (answer := staleness.get()) is not None:
            answer.note(outage.age)
        return entry

    def _was_fresh(self, entry: Encoded | None) -> TypeGuard[Encoded]:
        return entry is not None and self._positions.was_fresh(entry.slot, entry.as_of)

    async def _resolved(
        self, project_id: int, kind: str, version: Version, pick: Pick, wanted: Sequence[Reference]
    ) -> bytes:
        asked = [self.version_led_to(project_id, kind, one.name, one.version or one.label) for one in wanted]
        found = await asyncio.gather(*asked, return_exceptions=True)
        texts: dict[Reference, Version] = {}
        for reference, text in zip(wanted, found, strict=True):
            if isinstance(text, Version):
                texts[reference] = text
            elif not isinstance(text, NotFound):
                raise text
        label = pick if isinstance(pick, str) else None
        size = sum(len(one.body) for one in texts.values())
        return await heavy(size, lambda: self._kinds[kind].resolved(version, label, texts))

    async def etags(self, project_id: int, kind: str, name: str) -> list[bytes]:
        """The entity tags of the latest version, as reads by name show it and, where that is something else, as writes do."""
        renderers = self._kinds[kind]
        tags = [(await self.get(project_id, kind, name)).etag]
        if renderers.write is not renderers.read:
            tags.append(etag_of(renderers.write(await self.version(project_id, kind, name))))
        return tags

    async def version(self, project_id: int, kind: str, name: str, pick: Pick = None) -> Version:
        """A version as the read models have it. Raises NotFound with close names, VersionNotFound, Yanked."""
        found = await self._lookups.find(Lookup(project_id, kind, name, pick))
        if found is not None and found[1] is not None:
            return _taken(kind, found[1], pick)
        raise await self._reads.ask(lambda conn: _refusal(conn, project_id, kind, name, pick, found, CURRENT))

    async def version_led_to(self, project_id: int, kind: str, name: str, pick: Pick = None) -> Version:
        """The same, also by a name that leads to another one."""
        try:
            return await self.version(project_id, kind, name, pick)
        except NameChanged as changed:
            return await self.version(project_id, kind, changed.new_name, pick)

    @staticmethod
    async def version_in(
        conn: Connection,
        project_id: int,
        kind: str,
        name: str,
        pick: Pick = None,
        read_model: ReadModel = CURRENT,
    ) -> Version:
        """The same on a connection, so within its snapshot, and of any read model."""
        found = await read_model.find(conn, project_id, kind, name, pick)
        if found is not None and found[1] is not None:
            return _taken(kind, found[1], pick)
        raise await _refusal(conn, project_id, kind, name, pick, found, read_model)

    def store_written(
        self, project_id: int, kind: str, version: Version, as_of: int, *, people_as_of: int | None = None
    ) -> tuple[bytes, bytes]:
        """What a write answers, and its entity tag; remembers what the next read will, and shows it to the other processes.

        ``people_as_of``: the position that the users in it were read at, if that is an earlier one.
        """
        renderers = self._kinds[kind]
        body = renderers.write(version)
        etag = etag_of(body)
        outdated = people_as_of is not None and people_as_of < self._positions.all_streams
        # A yank answers with the version that it is about, which reads by name do not show.
        other = version.number != version.latest_version
        if version.deleted or outdated or other or renderers.references(version):
            return body, etag
        read = body if renderers.read is renderers.write else renderers.read(version)
        read_etag = etag if read is body else etag_of(read)
        entry = Encoded(read, read_etag, StreamPositions.slot(version.stream_id), as_of)
        self._keep((project_id, kind, version.name, None), entry)
        if self._shared is not None:
            self._shared.put(_place(project_id, kind, version.name, None), entry)
        return body, etag

    def render_write(self, kind: str, version: Version) -> bytes:
        return self._kinds[kind].write(version)

    async def content(self, digest: bytes) -> bytes:
        """A content by its digest."""
        return (await self.contents([digest]))[digest]

    async def contents(self, digests: list[bytes]) -> dict[bytes, bytes]:
        """Contents by digest; they never change, so what has been read once is kept as long as there is room."""
        have: dict[bytes, bytes] = {}
        for digest in digests:
            data = self._contents.get(digest)
            if data is not None:
                have[digest] = data
        if len(have) < len(digests) and (missing := [digest for digest in digests if digest not in have]):
            read = await self._reads.ask(lambda conn: contents.read(conn, missing), fixed=True)
            if self._reads.outage is not None and len(read) < len(set(missing)):
                # A cache knew more than the replica that was asked.
                raise NoPrimary
            for digest, data in read.items():
                self.keep_content(digest, data)
            have.update(read)
        return have

    def keep_content(self, digest: bytes, data: bytes) -> None:
        self._contents.put(digest, data, len(data) + ENTRY_OVERHEAD)

    def _keep(self, key: Key, entry: Encoded) -> None:
        self._cache.put(key, entry, len(entry.body) + ENTRY_OVERHEAD)


def _encoded(found: CachedRepresentation) -> Encoded:
    return Encoded(found.body, found.etag, StreamPositions.slot(found.stream_id), found.as_of)


def _place(project_id: int, kind: str, name: str, label: str | None) -> bytes:
    """Of the latest version, or of the one that a label points to; names have no ``@``."""
    place = f"{project_id}/{kind}/{name}"
    return (place if label is None else f"{place}@{label}").encode()


def _taken(kind: str, version: Version, pick: Pick) -> Version:
    """Raises Yanked for a version that a label has led to, and that should not be used any more."""
    if version.yanked is not NOT_YANKED and isinstance(pick, str):
        raise Yanked(kind, version.name, pick, version.number, yanked=msgspec.Raw(version.yanked))
    return version


async def _refusal(
    conn: Connection, project_id: int, kind: str, name: str, pick: Pick, found: Found, read_model: ReadModel
) -> NotFound:
    """Why there is no such version: an unknown or earlier name, an unknown label or number."""
    if found is None:
        return await missing(conn, project_id, kind, name, read_model)
    if isinstance(pick, str):
        return no_label(kind, name, pick)
    return VersionNotFound(kind, name, pick, await read_model.newest_numbers(conn, found[0]))


async def missing(
    conn: Connection, project_id: int, kind: str, name: str, read_model: ReadModel = CURRENT
) -> NotFound:
    """The refusal of a name that nothing active has: NameChanged where it leads to another one."""
    new_name = await read_model.renamed_to(conn, project_id, kind, name)
    if new_name is not None:
        return NameChanged(kind, name, new_name)
    close = await read_model.close_names(conn, project_id, kind, name)
    return NotFound(f"There is no {kind} named '{name}' in this project.", suggestions=close)
