"""The way of a command: load, decide, append, remember; once more when another writer was first."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import msgspec

from api.cache.positions import StreamPositions
from api.cache.reader import RepresentationCache, missing
from api.commands.locks import KeyedLocks, RunningCommands
from api.commands.mirrors import Mirrors
from api.commands.policies import Policies
from api.commands.repository import NO_OWNERS, Loaded, Owners, Repository, is_long
from api.http.errors import IdempotencyKeyReused
from domain.artifacts.mirrors import KIND as MIRROR
from domain.artifacts.mirrors import Mirror
from domain.artifacts.owners import OwnersSet
from domain.artifacts.policies import KIND as LABEL_POLICY
from domain.artifacts.policies import LabelPolicies
from domain.artifacts.promotions import PromotionApproved
from domain.artifacts.tags import TagsSet
from domain.artifacts.versioned import Archived, Renamed, Restored, Versioned
from domain.artifacts.yanks import VersionUnyanked, VersionYanked
from domain.content import Content
from domain.errors import NameChanged, NameTaken, NotFound, Refused, Unavailable
from domain.events import Event
from domain.keys import allows
from projections.declared import fold_inline
from projections.events.history import people_of
from projections.read import past, renames
from projections.read.versions import Version
from projections.write import names
from projections.write.artifacts import AppliedEvent, Kind, VersionRow
from store.errors import CommandRepeated, NameConflict, StreamConflict
from store.ids import new_id
from store.log.appender import Appender
from store.log.log import Appended, Commit, Idempotency, head
from store.log.mapper import decode, to_stored
from store.log.statements import UNCHANGED, Row, SetStatement, Writes
from store.postgres.connection import Connection
from store.postgres.pool import Pool

# commands_once, events_stream
SELECT_COMMAND = """
SELECT fingerprint, status, commands.stream_id, position, topic, state
FROM commands JOIN events ON events.stream_id = commands.stream_id
                         AND events.stream_version = commands.stream_version
WHERE commands.key_id = %s AND idempotency_key = %s
"""

A = TypeVar("A", bound=Versioned)
P = TypeVar("P", LabelPolicies, Mirror)

# What brings no version and is answered with the artifact.
ANSWERED = (Archived, Restored, Renamed, OwnersSet, TagsSet, VersionYanked, VersionUnyanked)

# Each lost race means that another writer won, so this many in a row is a storm, not bad luck.
MAX_ATTEMPTS = 100


class Caller(msgspec.Struct, frozen=True):
    """The caller of the change: ids for the envelope of the events, the author as the answer shows it, read at a position, the scopes
    of the key."""

    project_id: int
    actor_id: int
    key_id: UUID
    author: bytes
    author_as_of: int
    correlation_id: str | None
    scopes: Collection[str]
    idempotency_key: str | None = None
    fingerprint: bytes = b""


class Done(msgspec.Struct, frozen=True):
    """What a command led to. ``version`` is None for a label; ``replayed`` when an earlier request had done it.

    ``answer`` is what a new version is answered with, and its entity tag: readers find it in the cache by now.
    """

    status: int
    position: int
    version: Version | None
    replayed: bool = False
    stream_id: UUID = UUID(int=0)
    answer: tuple[bytes, bytes] | None = None


# Statements that refuse an append when what its decision saw of other streams is no longer so.
Guards = dict[SetStatement, list[Row]]

Decide = Callable[[Loaded[A], A], Awaitable[list[Content]]]


class Commands:
    """Executes commands of one process, those on one name one after the other."""

    def __init__(
        self,
        pool: Pool,
        appender: Appender,
        repository: Repository,
        reader: RepresentationCache,
        kinds: Mapping[str, Kind],
        running: Path,
        positions: StreamPositions,
    ) -> None:
        self._pool = pool
        self._appender = appender
        self._repository = repository
        self._reader = reader
        self._kinds = kinds
        self._policies = Policies(pool)
        self._mirrors = Mirrors(pool, positions)
        self._names = KeyedLocks()
        self._running = RunningCommands(running)

    def close(self) -> None:
        self._running.close()

    async def create(
        self,
        caller: Caller,
        artifact: Versioned,
        contents: list[Content],
        *,
        attr: str = "name",
        guards: Guards | None = None,
    ) -> Done:
        """Append a new stream. Raises NameTaken that blames ``attr``, and PermissionDenied in a mirror, or when it begins with a
        protected label."""
        await self._check_writer(caller)
        async with self._pool.connection() as conn:
            taken = await names.holder(conn, caller.project_id, artifact.KIND, artifact.name)
        if taken is not None:
            raise NameTaken(artifact.KIND, artifact.name, attr=attr)
        artifact.made_by = caller.actor_id
        try:
            relies: Writes = guards or {}
            if artifact.labels:
                before = type(artifact)(id=artifact.id)
                relies = {**relies, **await self._check_labels(caller, before, artifact)}
            return await self._append(caller, artifact, contents, 201, None, relies)
        except NameConflict:
            raise NameTaken(artifact.KIND, artifact.name, attr=attr) from None
        except StreamConflict:
            raise Unavailable("What this is made from is no longer in the log; try again shortly.") from None

    async def change(
        self,
        caller: Caller,
        cls: type[A],
        name: str,
        decide: Decide[A],
        *,
        status: int = 200,
        guards: Guards | None = None,
    ) -> Done:
        """Load the holder of ``name``, let ``decide`` change a fork of it, append what that emits.

        ``decide`` gets what was loaded and the fork, returns the contents to store, and may be called again: when
        another writer was first, or when it refused by a state that was not read from the log just now. It may fill ``guards``.
        Raises PermissionDenied in a mirror, NotFound, NameTaken that blames ``new_name``, whatever ``decide`` raises, and Unavailable
        after too many lost races.
        """
        await self._check_writer(caller)
        async with self._names.hold((caller.project_id, cls.KIND, name)):
            cached = True
            for attempt in range(MAX_ATTEMPTS):
                loaded = await self.find(caller.project_id, cls, name, cached=cached)
                fork = loaded.aggregate.fork()
                relies: Writes = {}
                try:
                    contents = await decide(loaded, fork)
                    if (
                        fork.labels is not loaded.aggregate.labels
                        or fork.promotions is not loaded.aggregate.promotions
                    ):
                        relies = await self._check_labels(caller, loaded.aggregate, fork)
                except Refused:
                    if not loaded.from_cache:
                        raise
                    cached = False
                    continue
                except StreamConflict:
                    continue
                if not fork.pending:
                    return Done(status, loaded.as_of, None, stream_id=fork.id)
                try:
                    return await self._append(
                        caller, fork, contents, status, loaded, {**relies, **(guards or {})}
                    )
                except NameConflict:
                    # Only a rename takes a name here.
                    raise NameTaken(cls.KIND, fork.name, attr="new_name") from None
                except StreamConflict:
                    cached = False
                    # Writers of other processes: give way for a while, longer each time.
                    await asyncio.sleep(min(0.001 * attempt, 0.05))
        raise Unavailable("Too many others are changing this at the same time; try again shortly.")

    async def policies(self, project_id: int) -> LabelPolicies:
        """The label policies of a project now."""
        found, _ = await self._policies.load(project_id)
        return found

    async def check_direct(self, caller: Caller, cls: type[Versioned], label: str) -> None:
        """What is asked of a label first, also where nothing would move. Raises PermissionDenied."""
        scope = f"{cls.SCOPE}:promote"
        policies = await self.policies(caller.project_id)
        policies.check_direct((label,), scope, allowed=allows(caller.scopes, scope))

    async def check_yank(self, caller: Caller, artifact: Versioned, number: int) -> Guards:
        """Whether the caller may change what the labels of a version show; what this relies on. Raises PermissionDenied.

        A protected label that points to it takes the scope of promotions, whatever approvals a move takes: what is withdrawn in a
        hurry is not put in the place of something else.
        """
        labels = [label for label, labelled in artifact.labels.items() if labelled == number]
        if not labels:
            return {}
        policies = await self.policies(caller.project_id)
        scope = f"{artifact.SCOPE}:promote"
        policies.check_scope(labels, scope, allowed=allows(caller.scopes, scope))
        return {UNCHANGED: [(policies.id, policies.version)]}

    async def _check_labels(self, caller: Caller, before: Versioned, after: Versioned) -> Writes:
        """What an append that moves labels, or approves it, relies on: the policies as they are now, which allow it.

        Every door comes by here, so none has to know of policies. Raises PermissionDenied, and StreamConflict when an approval
        was decided by a policy that has changed since.
        """
        approved = [event for event in after.pending if isinstance(event, PromotionApproved)]
        moves = {label for label, _ in before.labels.items() ^ after.labels.items()}
        if not moves and not approved:
            return {}
        policies = await self.policies(caller.project_id)
        promoted = set()
        for event in approved:
            label = before.promotions[event.promotion_id].label
            if event.required != policies.required(label):
                raise StreamConflict("the policy of the label has changed")
            promoted.add(label)
        scope = f"{after.SCOPE}:promote"
        policies.check_direct(moves - promoted, scope, allowed=allows(caller.scopes, scope))
        return {UNCHANGED: [(policies.id, policies.version)]}

    async def change_policies(self, caller: Caller, decide: Callable[[LabelPolicies], None]) -> int:
        """Let ``decide`` change the label policies of the project; the position of their last event.

        ``decide`` may be called again when another writer was first. Raises PermissionDenied in a mirror, whatever it raises, and Unavailable.
        """
        await self._check_writer(caller)
        return await self._change_own(caller, LABEL_POLICY, self._policies.load, decide)

    async def change_mirror(self, caller: Caller, decide: Callable[[Mirror], None]) -> int:
        """Let ``decide`` say whether the project is a mirror; the position of the last event of that. Raises as ``change_policies``."""
        return await self._change_own(caller, MIRROR, self._mirrors.load, decide)

    async def _check_writer(self, caller: Caller) -> None:
        """Every door comes by here, so none has to know of mirrors. Raises PermissionDenied in one that another key writes to."""
        mirror = self._mirrors.known(caller.project_id)
        if mirror is None:
            mirror, _ = await self._mirrors.load(caller.project_id)
        mirror.check_writer(caller.key_id)

    async def _change_own(
        self,
        caller: Caller,
        kind: str,
        load: Callable[[int], Awaitable[tuple[P, int]]],
        decide: Callable[[P], None],
    ) -> int:
        """Change the one stream of the project that ``load`` reads; the position of its last event."""
        async with self._names.hold((caller.project_id, kind)):
            for attempt in range(MAX_ATTEMPTS):
                before, position = await load(caller.project_id)
                fork = before.fork()
                decide(fork)
                if not fork.pending:
                    return position
                commit = Commit(
                    events=tuple(map(to_stored, fork.pending)),
                    command_id=new_id(),
                    project_id=caller.project_id,
                    actor_id=caller.actor_id,
                    key_id=caller.key_id,
                    correlation_id=caller.correlation_id,
                    follows=position or None,
                )
                try:
                    return (await self._appender.append(commit)).last
                except StreamConflict:
                    await asyncio.sleep(min(0.001 * attempt, 0.05))
        raise Unavailable("Too many others are changing this at the same time; try again shortly.")

    async def rename(
        self,
        caller: Caller,
        cls: type[A],
        name: str,
        new_name: str,
        check: Callable[[Loaded[A]], Awaitable[None]],
        check_taken: Callable[[A], Awaitable[Guards]],
    ) -> Done:
        """Give what holds ``name`` another name; the one that it has changes nothing.

        ``check`` may refuse what was loaded, ``check_taken`` what was renamed, and returns the guards of what it saw. Raises NotFound, NameTaken that blames ``new_name``, Unavailable.
        """

        async def decide(loaded: Loaded[A], current: A) -> list[Content]:
            await check(loaded)
            current.rename(new_name)
            if current.pending:
                async with self._pool.connection() as conn:
                    if await names.holder(conn, caller.project_id, cls.KIND, new_name) is not None:
                        raise NameTaken(cls.KIND, new_name, attr="new_name")
                guards.clear()
                guards.update(await check_taken(current))
            return []

        guards: Guards = {}
        done = await self.change(caller, cls, name, decide, guards=guards)
        if done.version is None:
            version = await self._reader.version(caller.project_id, cls.KIND, name)
            done = msgspec.structs.replace(done, version=version)
        return done

    async def unchanged(self, done: Done, number: int | None = None) -> Done:
        """The same with the artifact, or a version of it, for a command that had nothing to change."""
        if done.version is not None:
            return done
        async with self._pool.connection() as conn:
            version = await past.at_position(conn, done.stream_id, done.position, number)
        return msgspec.structs.replace(done, version=version)

    async def restore(
        self,
        caller: Caller,
        cls: type[A],
        name: str,
        id: UUID | None = None,
        *,
        check: Callable[[A], Awaitable[Guards]] | None = None,
    ) -> Done:
        """Give an archived stream its name back: the one with this id, of its own or of a version, else the last one.

        ``check`` may refuse it, and returns the guards of what it saw.

        Raises PermissionDenied in a mirror, NameTaken when the name is held, also by a faster request, and NotFound when there is no
        such stream.
        """
        await self._check_writer(caller)
        async with self._names.hold((caller.project_id, cls.KIND, name)):
            for attempt in range(MAX_ATTEMPTS):
                loaded = await self._archived(caller.project_id, cls, name, id)
                fork = loaded.aggregate.fork()
                try:
                    if fork.archived:
                        fork.restore()
                        guards = await check(fork) if check is not None else None
                        return await self._append(caller, fork, [], 200, loaded, guards)
                except NameConflict:
                    raise NameTaken(cls.KIND, name) from None
                except StreamConflict:
                    pass
                # Another process restored this stream, and may have archived it again: look up what holds the name now.
                await asyncio.sleep(min(0.001 * attempt, 0.05))
        raise Unavailable("Too many others are changing this at the same time; try again shortly.")

    async def _archived(self, project_id: int, cls: type[A], name: str, id: UUID | None) -> Loaded[A]:
        loaded = await self._repository.find_archived(project_id, cls, name, id)
        # In this order: a stream that has just been restored is no archived one any more, and holds the name.
        async with self._pool.connection() as conn:
            if await names.holder(conn, project_id, cls.KIND, name) is not None:
                raise NameTaken(cls.KIND, name)
            renamed = None if loaded else await renames.renamed_to(conn, project_id, cls.KIND, name)
        if renamed is not None:
            raise NameChanged(cls.KIND, name, renamed)
        if loaded is None:
            which = "" if id is None else f" with the id {id}, of its own or of a version,"
            raise NotFound(f"There is no archived {cls.KIND} named '{name}'{which} in this project.")
        return loaded

    async def find(self, project_id: int, cls: type[A], name: str, *, cached: bool = True) -> Loaded[A]:
        """The active aggregate that holds ``name``. Raises NotFound with close names."""
        loaded = await self._repository.find(project_id, cls, name, cached=cached)
        if loaded is not None and not loaded.aggregate.archived:
            return loaded
        async with self._pool.connection() as conn:
            raise await missing(conn, project_id, cls.KIND, name)

    @asynccontextmanager
    async def once(self, caller: Caller) -> AsyncIterator[Done | None]:
        """Around a command with an idempotency key: yields what the first request did, or None to do it now.

        Raises IdempotencyKeyReused when the key came with another request, RequestInProgress while the first one runs.
        """
        if caller.idempotency_key is None:
            yield None
            return
        with self._running.hold(caller.key_id, caller.idempotency_key):
            yield await self._repeated(caller)

    async def _repeated(self, caller: Caller) -> Done | None:
        async with self._pool.connection() as conn:
            cursor = await conn.execute(SELECT_COMMAND, (caller.key_id, caller.idempotency_key), binary=True)
            row = await cursor.fetchone()
            if row is None:
                return None
            fingerprint, status, stream_id, position, topic, state = row
            if fingerprint != caller.fingerprint:
                raise IdempotencyKeyReused(
                    "This Idempotency-Key came with another request before; use a new key for a new request."
                )
            version = await self._left_by(conn, stream_id, position, decode(topic, state))
        return Done(status, position, version, replayed=True, stream_id=stream_id)

    async def record(
        self, caller: Caller, event: Event, writes: Writes, *, status: int, before: Sequence[Event] = ()
    ) -> Done:
        """Append an event of what is no artifact, such as a share: like those of keys it is in no project's feed.

        ``before`` are such events that go with it.

        Raises StreamConflict when another writer was first.
        """
        commit = Commit(
            events=(*map(to_stored, before), to_stored(event)),
            command_id=new_id(),
            actor_id=caller.actor_id,
            key_id=caller.key_id,
            correlation_id=caller.correlation_id,
            writes=writes,
            idempotency=_remembered(caller, status),
            claims=((caller.key_id, caller.idempotency_key),) if caller.idempotency_key else (),
        )
        try:
            appended = await self._appender.append(commit)
        except CommandRepeated:
            # Another host had the same key at the same time, and was first.
            if (done := await self._repeated(caller)) is not None:
                return done
            raise
        return Done(status, appended.last, None, stream_id=event.originator_id)

    async def _append(
        self,
        caller: Caller,
        artifact: Versioned,
        contents: list[Content],
        status: int,
        loaded: Loaded[Any] | None,
        relies: Writes | None = None,
    ) -> Done:
        events = artifact.collect_events()
        # What is written now is in no table yet, and large files may have pushed it out of the cache.
        data = {content.digest: content.data for content in contents}
        for digest, fresh in data.items():
            self._reader.keep_content(digest, fresh)
        needed = [ref.digest for ref in self._kinds[artifact.KIND].needs(artifact)]
        if missing := [digest for digest in needed if digest not in data]:
            data |= await self._reader.contents(missing)
        steps = [AppliedEvent(artifact, event, caller.project_id, caller.actor_id, data) for event in events]
        folded = fold_inline(steps, self._kinds)
        # Most of a version is as it was in the one before, which is in the log: what has not changed need not be sent.
        parts = {part.digest: part for part in (*contents, *folded.parts)}
        known: frozenset[bytes] = loaded.stored if loaded else frozenset()
        relied = {ref.digest for ref in artifact.refs} - parts.keys()
        if loaded is not None:
            # The version before is in the log with what it is made of, or the append is refused.
            relied -= {ref.digest for ref in loaded.aggregate.refs}
        held = {artifact.name} if loaded is None else {artifact.name, loaded.aggregate.name}
        claims: list[Any] = [(caller.project_id, artifact.KIND, name) for name in held]
        if caller.idempotency_key is not None:
            claims.append((caller.key_id, caller.idempotency_key))
        commit = Commit(
            events=tuple([to_stored(event) for event in events]),
            command_id=new_id(),
            project_id=caller.project_id,
            actor_id=caller.actor_id,
            key_id=caller.key_id,
            correlation_id=caller.correlation_id,
            contents=tuple([part for digest, part in parts.items() if digest not in known]),
            relied=tuple(relied),
            follows=loaded.position if loaded else None,
            writes={**folded.writes, **relies} if relies else folded.writes,
            idempotency=_remembered(caller, status),
            claims=tuple(claims),
        )
        view = folded.views.get(artifact.id)
        if view is not None and (
            more := [part for part in (view.body, view.outline) if part and part not in data]
        ):
            data |= await self._reader.contents(more)
        if loaded is not None and artifact.named_owners is loaded.aggregate.named_owners:
            people = loaded.owners
        else:
            people = await self._owners(caller, artifact)
        version: Version | None = None
        answer: tuple[bytes, bytes] | None = None

        def show(appended: Appended) -> None:
            nonlocal version, answer
            if view is not None:
                version = _version(caller, artifact, view, appended, loaded, data, people.json)
                answer = self._reader.store_written(
                    caller.project_id, artifact.KIND, version, appended.last, people_as_of=people.as_of
                )

        try:
            # Put into the shared cache before its position advances: a reader that finds an old answer outdated finds the new one there.
            appended = await self._appender.append(commit, show)
        except CommandRepeated:
            # Another host had the same key at the same time, and was first.
            if (done := await self._repeated(caller)) is not None:
                return done
            raise
        first_at = loaded.first_at if loaded else appended.recorded_at
        self._repository.keep(
            caller.project_id, artifact, first_at, appended.last, people, frozenset(parts) or known
        )
        if is_long(artifact, len(events)):
            await self._repository.save(artifact, appended.last)
        if view is not None:
            if answer is None:
                # It failed there; the caller gets the error.
                show(appended)
        elif isinstance(events[-1], ANSWERED):
            async with self._pool.connection() as conn:
                version = await self._left_by(conn, artifact.id, appended.last, events[-1])
        return Done(status, appended.last, version, stream_id=artifact.id, answer=answer)

    async def _owners(self, caller: Caller, artifact: Versioned) -> Owners:
        """The owners as answers show them; read only where they are not the caller alone."""
        if artifact.owners == (caller.actor_id,):
            return Owners(b"[%b]" % caller.author, caller.author_as_of)
        if not artifact.owners:
            return NO_OWNERS
        async with self._pool.connection() as conn:
            as_of = await head(conn)
            found = await people_of(conn, artifact.owners)
        return Owners(b"[%b]" % b",".join(found[id] for id in artifact.owners if id in found), as_of)

    @staticmethod
    async def _left_by(conn: Connection, stream_id: UUID, position: int, event: Event) -> Version | None:
        """What an event left behind, whatever came later: the latest version, or the one that it is about."""
        number = event.number if isinstance(event, VersionYanked | VersionUnyanked) else None
        version = await past.at_position(conn, stream_id, position, number)
        return version and msgspec.structs.replace(version, deleted=isinstance(event, Archived))


def _version(
    caller: Caller,
    artifact: Versioned,
    view: VersionRow,
    appended: Appended,
    loaded: Loaded[Any] | None,
    parts: dict[bytes, bytes],
    owners: bytes,
) -> Version:
    """The new version as a read would find it, put together from what is at hand: ``parts`` are contents by digest."""
    return Version(
        stream_id=artifact.id,
        name=artifact.name,
        latest_version=artifact.number,
        first_at=loaded.first_at if loaded else appended.recorded_at,
        as_of=appended.last,
        number=artifact.number,
        id=artifact.version_id,
        stream_version=artifact.version,
        position=appended.last,
        created_at=appended.recorded_at,
        body=parts[view.body],
        details=view.details.data,
        outline=None if view.outline is None else parts[view.outline],
        manifest=None if view.manifest is None else view.manifest.data,
        package=None if view.package is None else view.package.data,
        labels=sorted(label for label, number in artifact.labels.items() if number == artifact.number),
        owners=owners,
        tags=list(artifact.tags),
        hidden=artifact.highest - artifact.number,
        author=caller.author,
    )


def _remembered(caller: Caller, status: int) -> Idempotency | None:
    """What makes a repetition of the request recognisable."""
    if caller.idempotency_key is None:
        return None
    return Idempotency(caller.idempotency_key, caller.fingerprint, status)
