"""The people who answer for a skill or prompt: of its name, not of a version, so there is nothing to publish."""

from typing import Any

import msgspec
from litestar import Request, Response, get, post
from litestar.params import FromPath

from api.artifacts.marks import Marks, marking
from api.commands.caller import caller_of
from api.http.context import context
from api.http.requests import project_of
from api.services import services
from console.forms import Form, flash, form_of
from console.kinds import kind_of
from console.page import frame_of, page, redirect
from console.picking import Picked
from domain.errors import Invalid, Refused
from projections.encoding import Author
from store.tables import identity

MAX_CALLED = 254  # characters of a mail address

_owners = msgspec.json.Decoder(list[Author])


@get("/{name:str}/owners")
async def owners(request: Request[Any, Any, Any], name: FromPath[str]) -> Response[Any]:
    kind = kind_of(request)
    version = await services(request).reader.version(project_of(request), kind.kind, name)
    return await page(
        request,
        "owners.html",
        active=kind.plural,
        kind=kind,
        name=version.name,
        version=version,
        picked=Picked(None, None),
        owners=_owners.decode(version.owners),
        max_called=MAX_CALLED,
    )


@post("/{name:str}/owners")
async def set_owners(request: Request[Any, Any, Any], name: FromPath[str]) -> Response[Any]:
    kind = kind_of(request)
    form = await form_of(request)
    version = await services(request).reader.version(project_of(request), kind.kind, name)
    address = frame_of(request).now(kind.plural, version.name, "owners")
    try:
        wanted = await _wanted(request, form, [owner.id for owner in _owners.decode(version.owners)])
        asked = context(request)
        command = marking(asked, kind.aggregate, version.name, Marks(owners=wanted), None)
        await command(await caller_of(asked), services(request).commands)
    except Refused as error:
        return redirect(request, address, flash(request, "refused", error.detail))
    return redirect(request, address, flash(request, "done", "The owners are set."))


async def _wanted(request: Request[Any, Any, Any], form: Form, now: list[int]) -> tuple[int, ...]:
    """Those of now without the one that goes, with the one that comes. Raises Invalid."""
    gone, called = form.line("remove"), form.line("add")
    found = [one for one in now if str(one) != gone]
    if not called:
        return tuple(found)
    async with services(request).pool.connection() as conn:
        people = await identity.members_called(conn, project_of(request), called[:MAX_CALLED])
    if not people:
        raise Invalid(f"No user with a live key for this project is called '{called[:MAX_CALLED]}'.")
    if len(people) > 1:
        raise Invalid(f"Several people are called '{called[:MAX_CALLED]}': use a mail address.")
    return tuple(dict.fromkeys([*found, *people]))


HANDLERS = (owners, set_owners)
