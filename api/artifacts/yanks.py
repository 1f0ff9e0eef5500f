"""Yank and unyank: versions that stay and should not be taken any more.

``yank`` and ``unyank`` are the commands for every door that withdraws versions.
"""

import re
from typing import Any
from uuid import UUID

from litestar import Request, Response

from api.artifacts.common import Command, check_etag, run
from api.artifacts.references import check_latest, check_yank
from api.artifacts.schemas import Unyank, Yank
from api.commands.execute import Caller, Commands, Done, Guards
from api.commands.repository import Loaded
from api.http.context import RequestContext, context
from api.http.requests import header_of
from api.http.responses import to_response
from api.payload.decode import read
from domain.artifacts.versioned import Versioned
from domain.artifacts.yanks import Latest
from domain.content import Content
from domain.errors import NotFound, VersionNotFound
from projections.events.states import as_last_shown
from projections.read.versions import MAX_VERSION

NUMBER = re.compile(rf"[1-9][0-9]{{0,{len(str(MAX_VERSION)) - 1}}}")


def yank(
    context: RequestContext,
    cls: type[Versioned],
    name: str,
    number: int,
    reason: str,
    *,
    id: UUID | None = None,
) -> Command:
    """Let a version be passed over; done already, it changes nothing. Answers with the version.

    With the ``id`` of a stream it is one of that, or not found.

    Raises NotFound, VersionNotFound, LastVersion, Referenced, PermissionDenied, PreconditionFailed, Invalid.
    """

    async def decide(loaded: Loaded[Any], current: Any, caller: Caller, commands: Commands) -> Guards:
        if id is not None and current.id != id:
            raise NotFound(f"The name '{name}' has another {cls.KIND} now.")
        current.check_number(number)
        if number in current.yanked:
            return {}
        guards = await commands.check_yank(caller, current, number)
        latest = await _latest(context, current, current.latest_without(number))
        current.yank(number, reason, latest)
        await check_yank(context, current, number, guards)
        await check_latest(context, current, guards)
        return guards

    return _command(context, cls, name, number, decide)


def unyank(context: RequestContext, cls: type[Versioned], name: str, number: int) -> Command:
    """Take a yank back; without one, it changes nothing. Answers with the version.

    Raises NotFound, VersionNotFound, PermissionDenied, PreconditionFailed, Invalid.
    """

    async def decide(loaded: Loaded[Any], current: Any, caller: Caller, commands: Commands) -> Guards:
        current.check_number(number)
        if number not in current.yanked:
            return {}
        guards = await commands.check_yank(caller, current, number)
        latest = await _latest(context, current, current.latest_with(number))
        current.unyank(number, latest)
        await check_latest(context, current, guards)
        return guards

    return _command(context, cls, name, number, decide)


def _command(context: RequestContext, cls: type[Versioned], name: str, number: int, decide: Any) -> Command:
    async def execute(caller: Caller, commands: Commands) -> Done:
        guards: Guards = {}

        async def decided(loaded: Loaded[Any], current: Any) -> list[Content]:
            await check_etag(context, loaded)
            guards.clear()
            guards.update(await decide(loaded, current, caller, commands))
            return []

        done = await commands.change(caller, cls, name, decided, guards=guards)
        return await commands.unchanged(done, number)

    return execute


async def _latest(context: RequestContext, current: Versioned, number: int) -> Latest | None:
    """What the event says of the version that becomes the latest; None when it is that already."""
    if number == current.number:
        return None
    async with context.services.pool.connection() as conn:
        state, name = await as_last_shown(conn, type(current), current.id, number, upto=current.version)
    return state.as_latest(name)


async def yank_answer(
    request: Request[Any, Any, Any], cls: type[Versioned], name: str, version: str, body: bytes
) -> Response[Any]:
    """Raises what ``yank`` does, and Invalid for the body."""
    data = await read(Yank, body, header_of(request, b"content-type"))
    number = await _number(request, cls, name, version)
    command = yank(context(request), cls, name, number, data.reason)
    return to_response(await run(context(request), body, cls.KIND, command))


async def unyank_answer(
    request: Request[Any, Any, Any], cls: type[Versioned], name: str, version: str, body: bytes
) -> Response[Any]:
    """Raises what ``unyank`` does."""
    await read(Unyank, body, header_of(request, b"content-type"))
    command = unyank(context(request), cls, name, await _number(request, cls, name, version))
    return to_response(await run(context(request), body, cls.KIND, command))


async def _number(request: Request[Any, Any, Any], cls: type[Versioned], name: str, version: str) -> int:
    """The number in an address. Raises NotFound, and VersionNotFound for what is none."""
    if NUMBER.fullmatch(version):
        return int(version)
    asked = context(request)
    loaded = await asked.services.commands.find(asked.project_id, cls, name)
    raise VersionNotFound(cls.KIND, name, version, loaded.aggregate.available)
