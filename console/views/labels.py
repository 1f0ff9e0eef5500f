"""The labels of one artifact: where each points and has pointed; and a move, with what it would change before it is made."""

from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from litestar import Request, Response, get, post
from litestar.params import FromPath

from api.artifacts import labels as changing
from api.artifacts.common import version_number
from api.artifacts.schemas import SetLabel
from api.cache.reader import RepresentationCache
from api.governance import commands as governance
from api.governance.schemas import RequestPromotion
from api.http.context import context
from api.http.requests import project_of, query_of
from api.payload.decode import checked
from api.services import services
from console import access, past
from console.access import NOW
from console.forms import flash, form_of
from console.governing import (
    Difference,
    Refusal,
    check_scope,
    difference,
    execute,
    is_direct,
    policies_of,
    refusal_of,
    version_now,
)
from console.kinds import Shown, kind_of
from console.page import frame_of, page, redirect
from console.paging import PAGE, offset_of, part
from console.picking import Picked
from console.usage import BlastRadius, blast_radius
from domain.artifacts.labels import no_label
from domain.artifacts.promotions import MAX_NOTE
from domain.artifacts.references import ReferencedBy
from domain.errors import Refused
from domain.names import MAX_LABEL, check_label
from projections.events.policies import PolicyRow
from projections.read import promotions
from projections.read.models import CURRENT
from projections.read.promotions import PromotionQuery
from projections.read.references import referenced_by
from projections.read.versions import Version, VersionLine, snapshot
from projections.write.labels import Label
from projections.write.labels import past as pointed

OFFERED = 50  # versions of a form; any other is found by its address


class Move(msgspec.Struct, frozen=True):
    """Where a label pointed for a while."""

    number: int = msgspec.field(name="version")
    since: datetime = msgspec.field(name="from")
    until: datetime | None
    set_by: msgspec.Raw
    promotion_id: UUID | None


class Preview(msgspec.Struct, frozen=True):
    """What a move would do: from the version that the label has now to another, and who reads it."""

    older: Version | None
    newer: Version
    policy: PolicyRow | None
    is_direct: bool
    radius: BlastRadius | None
    referenced: list[ReferencedBy]
    found: Difference


_move = msgspec.json.Decoder(Move)


@get("/{name:str}/labels")
async def labels(request: Request[Any, Any, Any], name: FromPath[str]) -> Response[Any]:
    query, project_id = query_of(request), project_of(request)
    kind = kind_of(request)
    async with services(request).pool.connection() as conn, snapshot(conn):
        read_model, then = await past.shown(conn, query)
        position = then.position if then else None
        version = await RepresentationCache.version_in(conn, project_id, kind.kind, name, None, read_model)
        found = await read_model.labels(conn, version.stream_id)
        rules = await policies_of(conn, project_id, position)
        _, waiting = await promotions.page(conn, project_id, _open(kind, version.name), position)
    return await page(
        request,
        "labels.html",
        past=then,
        active=kind.plural,
        kind=kind,
        name=version.name,
        version=version,
        picked=Picked(None, None),
        labels=found,
        rules=rules,
        waiting=waiting,
    )


@get("/{name:str}/labels/{label:str}")
async def label(request: Request[Any, Any, Any], name: FromPath[str], label: FromPath[str]) -> Response[Any]:
    return await _label(request, name, label)


@post("/{name:str}/labels/{label:str}")
async def remove_label(
    request: Request[Any, Any, Any], name: FromPath[str], label: FromPath[str]
) -> Response[Any]:
    kind = kind_of(request)
    check_scope(request, kind.write_scope)
    await form_of(request)
    try:
        await changing.remove_from(context(request), kind.aggregate, name, check_label(label))
    except Refused as error:
        return await _label(request, name, label, refusal_of(error))
    address = frame_of(request).now(kind.plural, name, "labels")
    return redirect(request, address, flash(request, "done", f"The label '{label}' is removed."))


async def _label(
    request: Request[Any, Any, Any], name: str, label: str, refusal: Refusal | None = None
) -> Response[Any]:
    query, project_id = query_of(request), project_of(request)
    kind = kind_of(request)
    offset = offset_of(query)
    check_label(label)
    async with services(request).pool.connection() as conn, snapshot(conn):
        read_model, then = await past.shown(conn, query)
        position = then.position if then else None
        version = await RepresentationCache.version_in(conn, project_id, kind.kind, name, None, read_model)
        count, rows = await pointed(
            conn, version.stream_id, label, limit=PAGE, offset=offset, position=position
        )
        if not count:
            raise no_label(kind.kind, version.name, label)
        rules = await policies_of(conn, project_id, position)
        now = next(
            (one for one in await read_model.labels(conn, version.stream_id) if one.name == label), None
        )
    moves = [_move.decode(row) for row in rows]
    return await page(
        request,
        "label.html",
        status=refusal.status if refusal else 200,
        past=then,
        active=kind.plural,
        kind=kind,
        name=version.name,
        version=version,
        picked=Picked(None, None),
        label=label,
        now=now,
        before=_before(now, moves) if offset == 0 else None,
        moves=moves,
        policy=rules.get(label),
        direct=is_direct(rules.get(label), may_promote=access.may(request, kind.promote_scope)),
        refusal=refusal,
        **part(count, offset, moves),
    )


def _before(now: Label | None, moves: list[Move]) -> int | None:
    """The version that a label pointed to before, where a roll back leads."""
    current = now.number if now else None
    return next((move.number for move in moves if move.number != current), None)


@get("/{name:str}/move", opt=NOW)
async def move(request: Request[Any, Any, Any], name: FromPath[str]) -> Response[Any]:
    query = query_of(request)
    return await _preview(
        request,
        name,
        query.text("label", max_length=MAX_LABEL) or "",
        version_number(query),
        query.text("note", max_length=MAX_NOTE) or "",
    )


@post("/{name:str}/move")
async def make_move(request: Request[Any, Any, Any], name: FromPath[str]) -> Response[Any]:
    kind = kind_of(request)
    check_scope(request, kind.write_scope)
    form = await form_of(request)
    label, number, note = form.line("label"), form.integer("version"), form.text("note")
    frame = frame_of(request)
    try:
        if form.line("how") == "request":
            data = checked(RequestPromotion, {"label": label, "version": number, "note": note})
            done = await execute(request, governance.request(context(request), kind.aggregate, name, data))
            async with services(request).pool.connection() as conn:
                row = await promotions.requested_at(conn, project_of(request), done.position)
            words = f"Requested: others can approve that '{label}' points to version {data.version}."
            return redirect(request, frame.now("promotions", row.id), flash(request, "done", words))
        wanted = checked(SetLabel, {"version": number})
        await changing.set_on(context(request), kind.aggregate, name, check_label(label), wanted.version)
    except Refused as error:
        chosen = number if isinstance(number, int) else None
        return await _preview(request, name, label, chosen, note, refusal_of(error))
    address = frame.now(kind.plural, name, "labels")
    return redirect(
        request, address, flash(request, "done", f"'{label}' points to version {wanted.version}.")
    )


async def _preview(
    request: Request[Any, Any, Any],
    name: str,
    label: str,
    number: int | None,
    note: str,
    refusal: Refusal | None = None,
) -> Response[Any]:
    """The page of a move, in the present: without a label it asks for one."""
    kind = kind_of(request)
    project_id, preview = project_of(request), None
    async with services(request).pool.connection() as conn, snapshot(conn):
        version = await version_now(conn, request, name)
        lines, _ = await CURRENT.lines(conn, version.stream_id, before=None, limit=OFFERED, offset=0)
        known = await CURRENT.labels(conn, version.stream_id)
        parts: tuple[Any, ...] | None = None
        if label:
            try:
                newer = await version_now(conn, request, name, number)
                now = next((one.number for one in known if one.name == check_label(label)), None)
                older = None if now is None else await version_now(conn, request, name, now)
                policy = (await policies_of(conn, project_id, None)).get(label)
                referenced = (
                    list(await referenced_by(conn, project_id, version.stream_id, label))
                    if kind.has_references
                    else []
                )
                parts = older, newer, policy, referenced
            except Refused as error:
                refusal = refusal or refusal_of(error)
    if parts is not None:
        older, newer, policy, referenced = parts
        preview = Preview(
            older=older,
            newer=newer,
            policy=policy,
            is_direct=is_direct(policy, may_promote=access.may(request, kind.promote_scope)),
            radius=await blast_radius(request, version),
            referenced=referenced,
            found=await difference(request, kind.kind, older, newer),
        )
    return await page(
        request,
        "move.html",
        status=refusal.status if refusal else 200,
        size=preview.found.size if preview else 0,
        active=kind.plural,
        kind=kind,
        name=version.name,
        version=version,
        picked=Picked(None, None),
        label=label,
        number=preview.newer.number if preview else number,
        note=note,
        preview=preview,
        numbers=_numbers(lines, number),
        known=known,
        refusal=refusal,
        max_label=MAX_LABEL,
        max_note=MAX_NOTE,
    )


def _numbers(lines: list[VersionLine], chosen: int | None) -> list[int]:
    """The versions that the form offers."""
    numbers = [line.number for line in lines]
    return numbers if chosen is None or chosen in numbers else [*numbers, chosen]


def _open(kind: Shown, name: str) -> PromotionQuery:
    return PromotionQuery(kinds=[kind.kind], limit=PAGE, offset=0, status="open", name=name)


HANDLERS = (labels, label, remove_label, move, make_move)
