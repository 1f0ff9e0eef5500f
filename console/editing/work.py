"""A draft on the desk: found, kept, checked, compared with what is published, and published."""

import asyncio
from collections.abc import Mapping
from hashlib import sha256
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
from litestar import Request

from api.artifacts.comparing import moves
from api.commands.caller import caller_of
from api.commands.execute import Done
from api.http.context import context
from api.http.errors import RequestInProgress
from api.http.requests import as_uuid, project_of
from api.offload import heavy, offload
from api.services import services
from console import access
from console.changes import Change, Value, changes_of, values_of
from console.editing import drafts, rebasing
from console.editing.drafts import Draft
from console.editing.kind import Editing, Problem, State
from console.editing.kinds import EDITED
from console.editing.merging import MARK
from console.kinds import Shown, kind_of
from domain.content import text_of
from domain.errors import NotFound
from domain.names import MAX_PROMPT_NAME
from projections.compare import diff
from projections.compare.diff import Comparison, Hunks
from projections.read.kinds import KINDS
from projections.read.sides import NOTHING
from projections.read.versions import Version
from store.tables import console_drafts
from store.tables.console_drafts import Kept, Place

NOTE = "version_description"  # of each version its own: no difference that counts
WAIT = 0.1  # seconds between two looks whether the first of two clicks is done
WAITS = 100


class Compared(NamedTuple):
    """What differs, for a page; ``size`` are the bytes of the texts."""

    values: list[Value]
    changes: list[Change]
    size: int

    @property
    def added(self) -> int:
        return sum(one.added for one in self.changes)

    @property
    def removed(self) -> int:
        return sum(one.removed for one in self.changes)


class Work(msgspec.Struct):
    """A draft of the user; ``version`` is the latest one of what it changes, None for what is new.

    ``id`` is None for a draft that is not kept yet.
    """

    kind: Shown
    editing: Editing
    user_id: int
    version: Version | None
    draft: Draft
    id: UUID | None = None
    revision: int = 0

    @property
    def name(self) -> str | None:
        return self.version.name if self.version else None

    @property
    def is_stale(self) -> bool:
        """Whether another version was published since it was begun."""
        return self.version is not None and self.draft.base != self.version.number

    @property
    def size(self) -> int:
        return len(self.draft.text) + sum(len(file.data or b"") for file in self.draft.files)


def user_of(request: Request[Any, Any, Any]) -> int:
    return access.session(request).principal.user.id


def place_of(request: Request[Any, Any, Any], version: Version | None) -> Place:
    stream_id = version.stream_id if version else None
    return Place(user_of(request), project_of(request), kind_of(request).kind, stream_id)


async def version_of(request: Request[Any, Any, Any], name: str, number: int | None = None) -> Version:
    """Raises NotFound, NameChanged, VersionNotFound."""
    return await services(request).reader.version(project_of(request), kind_of(request).kind, name, number)


def begun(request: Request[Any, Any, Any], version: Version | None, number: int | None = None) -> Work:
    """A draft that changes nothing yet."""
    shown = kind_of(request)
    editing = EDITED[shown.kind]
    draft = editing.empty() if version is None else editing.opened(version)
    return Work(shown, editing, user_of(request), version, draft)


def resumed(request: Request[Any, Any, Any], version: Version | None, kept: Kept) -> Work:
    work = begun(request, version)
    work.draft, work.id, work.revision = drafts.decode(kept.content), kept.id, kept.revision
    return work


async def kept_of(request: Request[Any, Any, Any], id: str, version: Version | None) -> Kept | None:
    """The draft of the user by its id, as a form or an address has it, published or not."""
    number = as_uuid(id)
    if number is None:
        return None
    place = place_of(request, version)
    async with services(request).pool.connection() as conn:
        found = await console_drafts.find(conn, number, place.user_id, place.project_id, place.kind)
    return found if found is not None and found.stream_id == place.stream_id else None


def missing() -> NotFound:
    return NotFound(
        "There is no such draft: it was published or discarded, has expired, or is of another user."
    )


async def before_of(request: Request[Any, Any, Any], work: Work) -> Draft | None:
    """The version that the draft starts from, as one that changes nothing."""
    if work.version is None:
        return None
    version = work.version
    if work.is_stale:
        version = await version_of(request, version.name, work.draft.base)
    found = work.editing.opened(version)
    found.fields["tags"] = work.draft.tags_before
    return found


async def next_number(request: Request[Any, Any, Any], work: Work) -> int:
    """Of the version that it would become now. Numbers of yanked versions are not given again."""
    if work.version is None:
        return 1
    commands, project_id = services(request).commands, project_of(request)
    loaded = await commands.find(project_id, work.kind.aggregate, work.version.name, cached=False)
    return loaded.aggregate.highest + 1


def shown_name(draft: Draft) -> str:
    """The name of a new one as lists show it: what was typed may be anything."""
    return "".join(char for char in draft.name[:MAX_PROMPT_NAME] if char.isprintable())


async def keep(request: Request[Any, Any, Any], work: Work) -> bool:
    """Keep the draft when it changes something; what does not is none. Returns whether it is kept. Raises NoRoom."""
    before = await before_of(request, work) or work.editing.empty()
    place = place_of(request, work.version)
    has_changed = work.is_stale or await heavy(work.size, lambda: work.draft.has_changed(before))
    content = await heavy(work.size, lambda: drafts.encode(work.draft)) if has_changed else b""
    async with services(request).pool.connection() as conn:
        if has_changed:
            name = work.name or shown_name(work.draft)
            work.id, work.revision = await console_drafts.keep(
                conn, place, name, content, id=work.id, revision=work.revision
            )
        elif work.id is not None:
            await console_drafts.discard(conn, work.id, place.user_id, place.project_id)
            work.id, work.revision = None, 0
    return has_changed


async def problems_of(request: Request[Any, Any, Any], work: Work) -> list[Problem]:
    """By the same rules as a request to the API. Errors keep it from being published."""
    found = await own_problems_of(work)
    if not has_errors(found):
        found += await work.editing.check_around(context(request), work.draft)
    return sorted(found, key=lambda one: one.severity)


async def own_problems_of(work: Work) -> list[Problem]:
    """Those that depend on nothing but the draft."""
    return await offload(lambda: [*marks(work.draft), *work.editing.check(work.draft)])


def has_errors(found: list[Problem]) -> bool:
    return any(one.severity == "error" for one in found)


def marks(draft: Draft) -> list[Problem]:
    """Conflicts of a merge that still stand in the texts."""
    if not draft.is_marked:
        return []
    found = []
    texts = [("text", draft.text)]
    texts += [
        (f"path.{file.id}", text_of(file.data) or "") for file in draft.standing if file.data is not None
    ]
    for field, text in texts:
        if place := MARK.search(text):
            line = text.count("\n", 0, place.start()) + 1
            message = f"Line {line} marks a conflict: keep what is right of both, and remove the marks."
            found.append(Problem("error", field, message))
    return found


async def difference(
    request: Request[Any, Any, Any], work: Work, before: Draft | None, after: Draft, view: str
) -> Compared:
    """From one draft to another, which have no errors; of the same artifact."""

    def states() -> tuple[State, State]:
        old = State(NOTHING, {}) if before is None else work.editing.state(before)
        return old, work.editing.state(after)

    old, new = await offload(states)
    origins = {file.origin for file in before.files} if before else set()
    moved = {file.origin: file.path for file in after.standing if file.origin in origins and file.origin}
    comparison = _without_note(diff.compare(old.side, new.side, moved))
    documents = diff.readable(comparison)
    contents = {**old.contents, **new.contents}
    wanted = [ref.digest for document in documents for ref in document.refs if ref.digest not in contents]
    contents |= await services(request).reader.contents(wanted)
    model = KINDS[work.kind.kind]

    def changes() -> list[Change]:
        digests = {ref.digest for document in documents for ref in document.refs}
        readable = {digest.hex(): model.readable(contents[digest]) for digest in digests}
        return changes_of(comparison, Hunks(documents, readable), view)

    values = values_of(comparison)
    tags_before = before.fields["tags"] if before else ""
    if after.fields["tags"] != tags_before:
        values.append(Value("tags", tags_before or None, after.fields["tags"] or None))
    size = sum(len(data) for data in contents.values())
    return Compared(values, await offload(changes), size)


def _without_note(comparison: Comparison) -> Comparison:
    fields = [one for one in comparison.fields if one.field != NOTE]
    return msgspec.structs.replace(comparison, fields=fields)


async def rebase(request: Request[Any, Any, Any], work: Work) -> Draft:
    """The draft put together with the latest version."""
    if work.version is None:
        return work.draft
    base = await version_of(request, work.version.name, work.draft.base)
    async with services(request).pool.connection() as conn:
        moved = await moves(conn, base, work.version)
    before, theirs = work.editing.opened(base), work.editing.opened(work.version)
    before.fields["tags"] = work.draft.tags_before
    files = await offload(lambda: rebasing.trios(before, work.draft, theirs, moved))
    contents = await services(request).reader.contents([ref.digest for ref in rebasing.needed(files)])
    return await offload(
        lambda: rebasing.rebased(before, work.draft, theirs, work.editing.fields, files, contents)
    )


async def rest_on(request: Request[Any, Any, Any], work: Work) -> Draft:
    """The draft as it is, on the latest version: what that one brought is undone by it."""
    if work.version is None:
        return work.draft
    base = await version_of(request, work.version.name, work.draft.base)
    async with services(request).pool.connection() as conn:
        moved = await moves(conn, base, work.version)
    theirs = work.editing.opened(work.version)
    paths = {file.path for file in theirs.files}
    draft = msgspec.structs.replace(work.draft, base=theirs.base, tags_before=theirs.tags_before, remarks=[])
    draft.files = [
        msgspec.structs.replace(file, origin=_moved(file.origin, moved, paths)) for file in draft.files
    ]
    return draft


def reverted(work: Work, old: Version) -> Draft:
    """What an earlier version was, on the latest one; tags are not of a version, and stay."""
    now, draft = work.draft, work.editing.opened(old)
    paths = {file.path for file in now.files}
    for file in draft.files:
        file.origin = file.path if file.path in paths else None
    draft.base, draft.note = now.base, f"Back to version {old.number}"
    draft.fields["tags"], draft.tags_before = now.fields["tags"], now.tags_before
    return draft


def _moved(origin: str | None, moved: Mapping[str, str] | None, paths: set[str]) -> str | None:
    target = origin if moved is None or origin is None else moved.get(origin)
    return target if target in paths else None


async def publish(request: Request[Any, Any, Any], work: Work, content: bytes) -> Done:
    """The draft as a version, by the command of the API; what was done already is not done again. ``content`` is that of the draft as it
    is kept. Raises what the API would refuse.
    """
    before = await before_of(request, work)
    requested = context(request)
    command = await offload(
        lambda: work.editing.command(requested, work.name or work.draft.name.strip(), work.draft, before)
    )
    caller = msgspec.structs.replace(
        await caller_of(requested),
        idempotency_key=f"console-{work.id}-{work.revision}",
        fingerprint=sha256(content).digest(),
    )
    commands = services(request).commands
    for _ in range(WAITS):
        try:
            async with commands.once(caller) as earlier:
                return earlier or await command(caller, commands)
        except RequestInProgress:
            # Two clicks: the first one is at it.
            await asyncio.sleep(WAIT)
    raise RequestInProgress("This draft is being published; look at the page of its versions.")
