"""What can be done with every kind of artifact, as commands: the controllers and the console run the same.

Each raises whatever it is refused by when it is run.
"""

from typing import Any
from uuid import UUID

from api.artifacts.common import Command, check_etag
from api.artifacts.references import check_latest, check_leaving, check_restored, check_taking
from api.commands.execute import Caller, Commands, Done, Guards
from api.commands.repository import Loaded
from api.http.context import RequestContext
from domain.artifacts.versioned import Versioned
from domain.content import Content
from projections.events.states import at_number
from store.ids import new_id


def archive(context: RequestContext, cls: type[Versioned], name: str, *, status: int = 200) -> Command:
    guards: Guards = {}

    async def decide(loaded: Loaded[Any], current: Any) -> list[Content]:
        await check_etag(context, loaded)
        guards.clear()
        current.archive()
        await check_leaving(context, current, guards)
        return []

    return lambda caller, commands: commands.change(caller, cls, name, decide, status=status, guards=guards)


def duplicate(context: RequestContext, cls: type[Versioned], name: str, new_name: str) -> Command:
    async def copy(caller: Caller, commands: Commands) -> Done:
        source = await commands.find(caller.project_id, cls, name, cached=False)
        await check_etag(context, source)
        made = source.aggregate.duplicate(id=new_id(), version_id=new_id(), name=new_name)
        guards: Guards = {}
        await check_latest(context, made, guards)
        await check_taking(context, made, guards)
        return await commands.create(caller, made, [], attr="new_name", guards=guards)

    return copy


def rename(context: RequestContext, cls: type[Versioned], name: str, new_name: str) -> Command:
    async def check(loaded: Loaded[Any]) -> None:
        await check_etag(context, loaded)

    async def check_taken(renamed: Any) -> Guards:
        guards: Guards = {}
        await check_taking(context, renamed, guards)
        return guards

    return lambda caller, commands: commands.rename(caller, cls, name, new_name, check, check_taken)


def revert(
    context: RequestContext, cls: type[Versioned], name: str, number: int, base: int | None
) -> Command:
    """A new version with the content of an earlier one; ``base`` is the latest that it starts from, None for any."""
    guards: Guards = {}

    async def decide(loaded: Loaded[Any], current: Any) -> list[Content]:
        old = await _old_state(context, loaded, base, number)
        current.revert(old, version_id=new_id(), base_version=base)
        await check_latest(context, current, guards, attr="version")
        return []

    return lambda caller, commands: commands.change(caller, cls, name, decide, guards=guards)


def restore(context: RequestContext, cls: type[Versioned], name: str, id: UUID | None) -> Command:
    """``id`` is that of the stream or of a version of it; without one the last that was archived."""

    async def check(current: Versioned) -> Guards:
        guards: Guards = {}
        await check_restored(context, current, guards)
        await check_taking(context, current, guards)
        return guards

    return lambda caller, commands: commands.restore(caller, cls, name, id, check=check)


async def _old_state(context: RequestContext, loaded: Loaded[Any], base: int | None, number: int) -> Any:
    """The state of an earlier version. Raises PreconditionFailed, VersionConflict, VersionNotFound."""
    current = loaded.aggregate
    await check_etag(context, loaded)
    current.check_base(base)
    current.check_number(number)
    async with context.services.pool.connection() as conn:
        return await at_number(conn, type(current), current.id, number)
