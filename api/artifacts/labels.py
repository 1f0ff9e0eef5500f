"""Labels of every kind: the requests that set and remove one."""

from typing import Any

import msgspec
from litestar import Request, Response

from api.artifacts.common import check_etag
from api.artifacts.references import check_labels
from api.artifacts.schemas import SetLabel
from api.commands.caller import caller_of
from api.commands.execute import Caller, Guards
from api.commands.repository import Loaded
from api.http.context import context
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
    label, known = _checked(label), False
    caller, commands = await _caller(request), services(request).commands

    guards: Guards = {}

    async def decide(loaded: Loaded[Versioned], current: Versioned) -> list[Content]:
        nonlocal known
        guards.clear()
        await commands.check_direct(caller, cls, label)
        await check_etag(context(request), loaded)
        known = current.set_label(label, data.version)
        await check_labels(context(request), loaded.aggregate, current, guards)
        return []

    done = await commands.change(caller, cls, name, decide, guards=guards)
    async with services(request).pool.connection() as conn:
        found = await labels.at(conn, done.stream_id, label, done.position)
    headers = [(b"x-event-position", b"%d" % found.position)]
    return to_response(json_answer(labels.label_json(found), status=200 if known else 201, extra=headers))


async def remove_label(
    request: Request[Any, Any, Any], cls: type[Versioned], name: str, label: str
) -> Response[Any]:
    """Raises Invalid, NotFound, PermissionDenied, PreconditionFailed."""
    label = _checked(label)
    caller, commands = await _caller(request), services(request).commands
    guards: Guards = {}

    async def decide(loaded: Loaded[Versioned], current: Versioned) -> list[Content]:
        guards.clear()
        await commands.check_direct(caller, cls, label)
        await check_etag(context(request), loaded)
        current.remove_label(label)
        await check_labels(context(request), loaded.aggregate, current, guards)
        return []

    done = await commands.change(caller, cls, name, decide, status=204, guards=guards)
    return to_response(Answer(204, [(b"x-event-position", b"%d" % done.position)], b""))


async def _caller(request: Request[Any, Any, Any]) -> Caller:
    """Setting and removing a label may be repeated as it is, so an ``Idempotency-Key`` changes nothing."""
    return msgspec.structs.replace(await caller_of(context(request)), idempotency_key=None)


def _checked(label: str) -> str:
    try:
        return check_label(label)
    except Invalid as error:
        raise error.within("label_name") from None
