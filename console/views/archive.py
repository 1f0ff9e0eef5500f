"""The end of a skill or prompt and the ways back: its archive, the list of what is archived, and a revert to an old version."""

from datetime import UTC, datetime
from typing import Any

import msgspec
from litestar import Request, Response, get, post
from litestar.params import FromPath

from api.artifacts import commands
from api.artifacts.common import version_number
from api.artifacts.schemas import Restore, Revert
from api.http.context import context
from api.http.requests import as_uuid, project_of, query_of
from api.payload.decode import checked
from api.services import services
from api.sharing.controller import READ as SHARES
from console import access, past
from console.access import NOW
from console.forms import flash, form_of
from console.governing import (
    Refusal,
    check_scope,
    difference,
    execute,
    is_direct,
    policies_of,
    refusal_of,
    version_now,
)
from console.kinds import SHOWN, Entry, Shown, kind_of
from console.page import frame_of, page, redirect
from console.paging import PAGE, offset_of, part
from console.past import Past
from console.picking import Picked
from console.usage import blast_radius
from domain.errors import Invalid, NotFound, Refused
from projections.events import archives
from projections.events.archives import ArchivedRow
from projections.read import promotions
from projections.read.models import CURRENT, ReadModel
from projections.read.promotions import PromotionQuery
from projections.read.references import referenced_by
from projections.read.versions import snapshot
from store.postgres.connection import Connection
from store.tables import shares
from store.tables.shares import Share


class Line(msgspec.Struct, frozen=True):
    """Something archived, and what its kind makes of it."""

    one: ArchivedRow
    entry: Entry


@get("/archive/{plural:str}")
async def archived(request: Request[Any, Any, Any], plural: FromPath[str]) -> Response[Any]:
    return await _archived(request, _kind_of(plural))


@post("/archive/{plural:str}")
async def restore(request: Request[Any, Any, Any], plural: FromPath[str]) -> Response[Any]:
    kind = _kind_of(plural)
    check_scope(request, kind.write_scope)
    form = await form_of(request)
    name, id = form.line("name"), form.line("id")
    try:
        checked(Restore, {"id": id})
        await execute(request, commands.restore(context(request), kind.aggregate, name, as_uuid(id)))
    except Refused as error:
        return await _archived(request, kind, refusal_of(error))
    address = frame_of(request).now(kind.plural, name)
    return redirect(
        request, address, flash(request, "done", "Restored, without the labels and tags that it had.")
    )


def _kind_of(plural: str) -> Shown:
    """Raises NotFound."""
    found = next((kind for kind in SHOWN.values() if kind.plural == plural), None)
    if found is None:
        raise NotFound(f"There is no archive of {plural}.")
    return found


async def _archived(
    request: Request[Any, Any, Any], kind: Shown, refusal: Refusal | None = None
) -> Response[Any]:
    check_scope(request, kind.read_scope)
    query, place = query_of(request), (project_of(request), kind.kind)
    offset = offset_of(query)

    async def read(conn: Connection, _: ReadModel, then: Past | None) -> tuple[int, list[ArchivedRow]]:
        if then is not None:
            return await archives.page_then(conn, *place, then.position, limit=PAGE, offset=offset)
        return await archives.page(conn, *place, limit=PAGE, offset=offset, with_body=False)

    (count, rows), then = await past.read(request, query, read, whole=True)
    return await page(
        request,
        "archived.html",
        past=then,
        status=refusal.status if refusal else 200,
        size=sum(one.row.size for one in rows),
        active=kind.plural,
        kind=kind,
        lines=[Line(one, kind.entry(one.row)) for one in rows],
        **part(count, offset, rows),
        limit=PAGE,
        refusal=refusal,
    )


@get("/{name:str}/archive", opt=NOW)
async def archive(request: Request[Any, Any, Any], name: FromPath[str]) -> Response[Any]:
    return await _archive(request, name)


@post("/{name:str}/archive")
async def make_archive(request: Request[Any, Any, Any], name: FromPath[str]) -> Response[Any]:
    kind = kind_of(request)
    check_scope(request, kind.write_scope)
    await form_of(request)
    try:
        await execute(request, commands.archive(context(request), kind.aggregate, name))
    except Refused as error:
        return await _archive(request, name, refusal_of(error))
    address = frame_of(request).now("archive", kind.plural)
    return redirect(request, address, flash(request, "done", f"The {kind.kind} '{name}' is archived."))


async def _archive(
    request: Request[Any, Any, Any], name: str, refusal: Refusal | None = None
) -> Response[Any]:
    """What would end with it, before it does."""
    kind = kind_of(request)
    project_id = project_of(request)
    async with services(request).pool.connection() as conn, snapshot(conn):
        version = await version_now(conn, request, name)
        labels = await CURRENT.labels(conn, version.stream_id)
        rules = await policies_of(conn, project_id, None)
        referenced = await referenced_by(conn, project_id, version.stream_id) if kind.has_references else []
        wanted = PromotionQuery(kinds=[kind.kind], limit=1, offset=0, status="open", name=version.name)
        waiting, _ = await promotions.page(conn, project_id, wanted)
        serving = await _serving(request, conn, kind, {label.name for label in labels})
    may_promote = access.may(request, kind.promote_scope)
    return await page(
        request,
        "archive.html",
        status=refusal.status if refusal else 200,
        active=kind.plural,
        kind=kind,
        name=version.name,
        version=version,
        picked=Picked(None, None),
        labels=labels,
        rules=rules,
        held=[one.name for one in labels if not is_direct(rules.get(one.name), may_promote=may_promote)],
        referenced=referenced,
        waiting=waiting,
        serving=serving,
        radius=await blast_radius(request, version),
        refusal=refusal,
    )


async def _serving(
    request: Request[Any, Any, Any], conn: Connection, kind: Shown, labels: set[str]
) -> list[Share]:
    """The shares that serve it now: those of the latest versions, and those of one of its labels. Only skills are shared."""
    if not kind.has_files or not access.may(request, SHARES):
        return []
    now = datetime.now(UTC)
    return [
        share
        for share in await shares.list_all(conn, project_of(request))
        if share.revoked_at is None
        and (share.expires_at is None or share.expires_at > now)
        and (share.serve_label is None or share.serve_label in labels)
    ]


@get("/{name:str}/revert", opt=NOW)
async def revert(request: Request[Any, Any, Any], name: FromPath[str]) -> Response[Any]:
    number = version_number(query_of(request))
    if number is None:
        raise Invalid("Say which version to go back to.", code="required", attr="version")
    return await _revert(request, name, number)


@post("/{name:str}/revert")
async def make_revert(request: Request[Any, Any, Any], name: FromPath[str]) -> Response[Any]:
    kind = kind_of(request)
    check_scope(request, kind.write_scope)
    form = await form_of(request)
    data = checked(Revert, {"version": form.integer("version"), "base_version": form.integer("base_version")})
    base = data.base_version
    assert isinstance(base, int)
    try:
        done = await execute(
            request, commands.revert(context(request), kind.aggregate, name, data.version, base)
        )
    except Refused as error:
        return await _revert(request, name, data.version, refusal_of(error))
    assert done.version is not None
    words = f"Version {done.version.number} has what version {data.version} had."
    return redirect(request, frame_of(request).now(kind.plural, name), flash(request, "done", words))


async def _revert(
    request: Request[Any, Any, Any], name: str, number: int, refusal: Refusal | None = None
) -> Response[Any]:
    """What would change: from the latest version to the old one."""
    kind = kind_of(request)
    async with services(request).pool.connection() as conn, snapshot(conn):
        latest = await version_now(conn, request, name)
        old = await version_now(conn, request, name, number)
    found = await difference(request, kind.kind, latest, old)
    return await page(
        request,
        "revert.html",
        status=refusal.status if refusal else 200,
        size=found.size,
        active=kind.plural,
        kind=kind,
        name=latest.name,
        version=latest,
        picked=Picked(None, None),
        old=old,
        found=found,
        refusal=refusal,
    )


OF_A_KIND = (archive, make_archive, revert, make_revert)
OF_A_PROJECT = (archived, restore)
