"""Labels of every kind: the requests that set and remove one."""

from typing import Any

import msgspec
from litestar import Request, Response

from api.artifacts.common import check_etag
from api.artifacts.references import check_labels
from api.artifacts.schemas import SetLabel
from api.commands.caller import caller_of
from api.commands.execute import Caller, Done, Guards
from api.commands.repository import Loaded
from api.http.context import RequestContext, context
from api.http.requests import header_of
from api.http.responses import Answer, json_answer, to_response
from api.payload.decode import read
from api.services import services
from domain.artifacts.versioned import Versioned
from domain.content import Content
from domain.errors import Invalid
from domain.names import check_label
from projections.write import labels


async def set_label(
    request: Request[Any, Any, Any], cls: type[Versioned], name: str, label: str, body: bytes
) -> Response[Any]:
    """Point a label to a version. Raises Invalid, NotFound, PermissionDenied, VersionNotFound, PreconditionFailed."""
    data = await read(SetLabel, body, header_of(request, b"content-type"))
    label = _checked(label)
    done, known = await set_on(context(request), cls, name, label, data.version)
    async with services(request).pool.connection() as conn:
        found = await labels.at(conn, done.stream_id, label, done.position)
    headers = [(b"x-event-position", b"%d" % found.position)]
    return to_response(json_answer(labels.label_json(found), status=200 if known else 201, extra=headers))


async def remove_label(
    request: Request[Any, Any, Any], cls: type[Versioned], name: str, label: str
) -> Response[Any]:
    """Raises Invalid, NotFound, PermissionDenied, PreconditionFailed."""
    done = await remove_from(context(request), cls, name, _checked(label))
    return to_response(Answer(204, [(b"x-event-position", b"%d" % done.position)], b""))


async def set_on(
    context: RequestContext, cls: type[Versioned], name: str, label: str, number: int
) -> tuple[Done, bool]:
    """Point a label to a version; whether there was such a label. Raises what ``set_label`` raises."""
    caller, commands = await _caller(context), context.services.commands
    guards: Guards = {}
    known = False

    async def decide(loaded: Loaded[Versioned], current: Versioned) -> list[Content]:
        nonlocal known
        guards.clear()
        await commands.check_direct(caller, cls, label)
        await check_etag(context, loaded)
        known = current.set_label(label, number)
        await check_labels(context, loaded.aggregate, current, guards)
        return []

    return await commands.change(caller, cls, name, decide, guards=guards), known


async def remove_from(context: RequestContext, cls: type[Versioned], name: str, label: str) -> Done:
    """Remove a label. Raises what ``remove_label`` raises."""
    caller, commands = await _caller(context), context.services.commands
    guards: Guards = {}

    async def decide(loaded: Loaded[Versioned], current: Versioned) -> list[Content]:
        guards.clear()
        await commands.check_direct(caller, cls, label)
        await check_etag(context, loaded)
        current.remove_label(label)
        await check_labels(context, loaded.aggregate, current, guards)
        return []

    return await commands.change(caller, cls, name, decide, status=204, guards=guards)


async def _caller(context: RequestContext) -> Caller:
    """Setting and removing a label may be repeated as it is, so an ``Idempotency-Key`` changes nothing."""
    return msgspec.structs.replace(await caller_of(context), idempotency_key=None)


def _checked(label: str) -> str:
    try:
        return check_label(label)
    except Invalid as error:
        raise error.within("label_name") from None
