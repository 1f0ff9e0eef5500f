"""A version that should not be used any more: who reads it, before it is yanked; and the way back."""

from typing import Any

from litestar import Request, Response, get, post
from litestar.params import FromPath

from api.artifacts import yanks
from api.artifacts.common import version_number
from api.artifacts.schemas import Yank
from api.http.context import context
from api.http.query import Query
from api.http.requests import query_of
from api.payload.decode import checked
from api.services import services
from console.access import NOW
from console.forms import flash, form_of
from console.governing import Refusal, check_scope, execute, refusal_of, version_now
from console.kinds import kind_of
from console.page import frame_of, page, redirect
from console.picking import Picked
from console.usage import blast_radius
from domain.artifacts.yanks import MAX_REASON
from domain.errors import Invalid, Refused


@get("/{name:str}/yank", opt=NOW)
async def yank(request: Request[Any, Any, Any], name: FromPath[str]) -> Response[Any]:
    return await _yank(request, name, _number(query_of(request)))


@post("/{name:str}/yank")
async def change(request: Request[Any, Any, Any], name: FromPath[str]) -> Response[Any]:
    kind = kind_of(request)
    check_scope(request, kind.write_scope)
    form = await form_of(request)
    number, reason = _number(Query(f"version={form.line('version')}".encode())), form.joined("reason")
    try:
        if form.line("do") == "unyank":
            await execute(request, yanks.unyank(context(request), kind.aggregate, name, number))
            words = f"Version {number} is one like any other again."
        else:
            data = checked(Yank, {"reason": reason})
            await execute(request, yanks.yank(context(request), kind.aggregate, name, number, data.reason))
            words = f"Version {number} is yanked: it is passed over from now on."
    except Refused as error:
        return await _yank(request, name, number, reason, refusal_of(error))
    address = frame_of(request).now(kind.plural, name, version=number)
    return redirect(request, address, flash(request, "done", words))


def _number(query: Query) -> int:
    """Raises Invalid."""
    number = version_number(query)
    if number is None:
        raise Invalid("Say which version.", code="required", attr="version")
    return number


async def _yank(
    request: Request[Any, Any, Any],
    name: str,
    number: int,
    reason: str = "",
    refusal: Refusal | None = None,
) -> Response[Any]:
    kind = kind_of(request)
    async with services(request).pool.connection() as conn:
        version = await version_now(conn, request, name, number)
    return await page(
        request,
        "yank.html",
        status=refusal.status if refusal else 200,
        active=kind.plural,
        kind=kind,
        name=version.name,
        version=version,
        picked=Picked(number, None),
        radius=await blast_radius(request, version),
        reason=reason,
        refusal=refusal,
        max_reason=MAX_REASON,
    )


HANDLERS = (yank, change)
