"""What belongs to the name of an artifact and not to a version: its owners, its tags, and the name itself."""

from typing import Any

import msgspec
from litestar import Request, Response, get, post
from litestar.params import FromPath
from msgspec import UNSET, UnsetType

from api.artifacts import commands
from api.artifacts.fields import OwnersField, TagsField
from api.artifacts.marks import marking, marks_of
from api.http.context import context
from api.http.requests import project_of
from api.kinds import KINDS
from api.payload.decode import checked
from api.services import services
from console.access import NOW
from console.forms import Form, flash, form_of
from console.governing import Refusal, check_scope, execute, refusal_of, version_now
from console.kinds import Shown, kind_of
from console.page import frame_of, page, redirect
from console.picking import Picked
from domain.artifacts.owners import MAX_OWNERS
from domain.errors import Refused
from projections.encoding import Author
from projections.read.versions import snapshot
from store.postgres.connection import Connection
from store.tables import organizations
from store.tables.identity import User

OFFERED = 200  # people of a form; a project has few

_owners = msgspec.json.Decoder(list[Author])


class Marks(msgspec.Struct, frozen=True):
    """Owners and tags, under the rules of a body that sets them."""

    owners: OwnersField | UnsetType = UNSET
    tags: TagsField | UnsetType = UNSET


@get("/{name:str}/manage", opt=NOW)
async def manage(request: Request[Any, Any, Any], name: FromPath[str]) -> Response[Any]:
    return await _manage(request, name)


@post("/{name:str}/manage")
async def change(request: Request[Any, Any, Any], name: FromPath[str]) -> Response[Any]:
    kind = kind_of(request)
    check_scope(request, kind.write_scope)
    form = await form_of(request)
    try:
        if form.line("do") == "rename":
            data: Any = checked(KINDS[kind.resource].rename, {"new_name": form.text("new_name")})
            await execute(request, commands.rename(context(request), kind.aggregate, name, data.new_name))
            name, words = data.new_name, f"It is named '{data.new_name}' now; '{name}' leads here."
        else:
            await _set_marks(request, kind, name, form)
            words = "Owners and tags are set."
    except Refused as error:
        return await _manage(request, name, form, refusal_of(error))
    return redirect(request, frame_of(request).now(kind.plural, name), flash(request, "done", words))


async def _set_marks(request: Request[Any, Any, Any], kind: Shown, name: str, form: Form) -> None:
    """What the form leaves as it was stays: an owner without a key any more, who cannot be named again, too."""
    async with services(request).pool.connection() as conn, snapshot(conn):
        version = await version_now(conn, request, name)
        _, people = await _members(conn, request)
    chosen = list(dict.fromkeys(form.all("owner")))
    offered = {str(user.uuid) for user in people}
    stay = {str(owner.uuid) for owner in _owners.decode(version.owners)} & offered
    sent: dict[str, Any] = {"tags": form.text("tags").split(",")}
    if set(chosen) != stay:
        sent["owners"] = chosen
    marks = await marks_of(context(request), checked(Marks, sent))
    await execute(request, marking(context(request), kind.aggregate, name, marks, None))


async def _manage(
    request: Request[Any, Any, Any], name: str, form: Form | None = None, refusal: Refusal | None = None
) -> Response[Any]:
    """``form`` is what was refused."""
    kind = kind_of(request)
    async with services(request).pool.connection() as conn, snapshot(conn):
        version = await version_now(conn, request, name)
        count, people = await _members(conn, request)
    owners = _owners.decode(version.owners)
    offered = {user.uuid for user in people}
    is_marks = form is not None and form.line("do") != "rename"
    return await page(
        request,
        "manage.html",
        status=refusal.status if refusal else 200,
        active=kind.plural,
        kind=kind,
        name=version.name,
        version=version,
        picked=Picked(None, None),
        people=people,
        more=max(count - OFFERED, 0),
        chosen=set(form.all("owner")) if form and is_marks else {str(owner.uuid) for owner in owners},
        gone=[owner for owner in owners if owner.uuid not in offered],
        tags=form.text("tags") if form and is_marks else ", ".join(version.tags),
        new_name=form.text("new_name") if form and not is_marks else version.name,
        max_owners=MAX_OWNERS,
        refusal=refusal,
    )


async def _members(conn: Connection, request: Request[Any, Any, Any]) -> tuple[int, list[User]]:
    """The people who may own something here, those with a live key for the project: how many, and the first of them."""
    count, found = await organizations.members(conn, [project_of(request)], limit=OFFERED, offset=0)
    return count, sorted((member.user for member in found), key=lambda user: (user.first_name, user.email))


HANDLERS = (manage, change)
