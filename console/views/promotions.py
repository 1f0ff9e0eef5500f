"""Promotions of a project: those that wait, and the page where one is reviewed and decided."""

from typing import Any

import msgspec
from litestar import Request, Response, get, post
from litestar.params import FromPath

from api.cache.reader import RepresentationCache
from api.governance import commands
from api.governance.commands import ACTIONS
from api.governance.schemas import Decide
from api.http.context import context
from api.http.query import Query
from api.http.requests import as_uuid, project_of, query_of
from api.payload.decode import checked
from api.search.controller import READ
from api.services import services
from console import access, past
from console.forms import flash, form_of
from console.governing import (
    Refusal,
    check_scope,
    difference,
    execute,
    refusal_of,
)
from console.kinds import SHOWN, Shown
from console.page import frame_of, page, redirect
from console.paging import PAGE, offset_of
from console.usage import blast_radius
from domain.artifacts.promotions import MAX_NOTE
from domain.artifacts.references import ReferencedBy
from domain.errors import Invalid, NotFound, Refused
from domain.names import MAX_LABEL
from projections.events import policies
from projections.events.history import people_of
from projections.read import promotions
from projections.read.models import ReadModel
from projections.read.promotions import STATUSES, PromotionQuery, PromotionRow
from projections.read.references import referenced_by
from projections.read.versions import Version, snapshot
from store.log.log import read_after
from store.log.mapper import decode
from store.postgres.connection import Connection

ALL = "all"
DONE = {
    "approve": "Approved.",
    "reject": "Rejected: the label stays where it is.",
    "withdraw": "Withdrawn.",
}


class Approval(msgspec.Struct, frozen=True):
    by: msgspec.Raw
    at: str
    comment: str


class Line(msgspec.Struct, frozen=True):
    """A promotion, and how many approvals it takes."""

    row: PromotionRow
    required: int

    @property
    def missing(self) -> int:
        return max(self.required - len(self.row.approvals), 0)


class Decision(msgspec.Struct, frozen=True):
    """Who ended a promotion, and what for."""

    by: bytes
    comment: str


_approval = msgspec.json.Decoder(Approval)


@get("/promotions", opt={"scope": READ})
async def listing(request: Request[Any, Any, Any]) -> Response[Any]:
    query, project_id = query_of(request), project_of(request)
    wanted = _wanted(request, query)
    async with services(request).pool.connection() as conn, snapshot(conn):
        _, then = await past.shown(conn, query)
        position = then.position if then else None
        count, rows = await promotions.page(conn, project_id, wanted, position)
        required = await policies.required_approvals(conn, project_id)
    lines = [Line(row, required.of(row.label, row.decided_position or position)) for row in rows]
    return await page(
        request,
        "promotions.html",
        past=then,
        active="promotions",
        lines=lines,
        count=count,
        wanted=wanted,
        statuses=(*STATUSES, ALL),
        chosen=wanted.status or ALL,
        filters={"name": wanted.name, "label": wanted.label, "status": query.values.get("status")},
        end=wanted.offset + len(lines),
    )


def _wanted(request: Request[Any, Any, Any], query: Query) -> PromotionQuery:
    status = query.choice("status", (*STATUSES, ALL)) or STATUSES[0]
    return PromotionQuery(
        kinds=[kind.kind for kind in SHOWN.values() if access.may(request, kind.read_scope)],
        limit=PAGE,
        offset=offset_of(query),
        status=None if status == ALL else status,
        name=query.text("name"),
        label=query.text("label", max_length=MAX_LABEL),
    )


@get("/promotions/{promotion_id:str}", opt={"scope": READ})
async def review(request: Request[Any, Any, Any], promotion_id: FromPath[str]) -> Response[Any]:
    return await _review(request, promotion_id)


@post("/promotions/{promotion_id:str}", opt={"scope": READ})
async def decide(request: Request[Any, Any, Any], promotion_id: FromPath[str]) -> Response[Any]:
    form = await form_of(request)
    action = next((one for one in ACTIONS if one.word == form.line("do")), None)
    if action is None:
        raise Invalid("Say whether to approve, to reject or to withdraw it.", attr="do")
    row = await commands.find(context(request), promotion_id)
    check_scope(request, SHOWN[row.kind].read_scope)
    check_scope(request, action.scope_of(SHOWN[row.kind].aggregate))
    comment = form.text("comment")
    try:
        data = checked(Decide, {"comment": comment})
        await execute(request, commands.decide(context(request), action, row, data.comment))
    except Refused as error:
        return await _review(request, promotion_id, comment, refusal_of(error))
    words = DONE[action.word]
    found = await commands.find(context(request), promotion_id)
    if found.status == "promoted":
        words = f"'{found.label}' points to version {found.number}."
    address = frame_of(request).now("promotions", promotion_id)
    return redirect(request, address, flash(request, "done", words))


async def _review(
    request: Request[Any, Any, Any], promotion_id: str, comment: str = "", refusal: Refusal | None = None
) -> Response[Any]:
    query, project_id, id = query_of(request), project_of(request), as_uuid(promotion_id)
    referenced: list[ReferencedBy] = []
    async with services(request).pool.connection() as conn, snapshot(conn):
        read_model, then = await past.shown(conn, query)
        position = then.position if then else None
        row = None if id is None else await promotions.find(conn, project_id, id, position)
        if row is None or not access.may(request, SHOWN[row.kind].read_scope):
            raise NotFound("There is no such promotion here.")
        kind: Shown = SHOWN[row.kind]
        required = await policies.required_approvals(conn, project_id)
        line = Line(row, required.of(row.label, row.decided_position or position))
        newer = await _version(conn, project_id, row, row.number, read_model)
        older = await _version(conn, project_id, row, row.from_number, read_model)
        now: int | None = None
        if newer is not None:
            held = await read_model.labels(conn, row.stream_id)
            now = next((one.number for one in held if one.name == row.label), None)
            if kind.has_references and then is None:
                referenced = list(await referenced_by(conn, project_id, row.stream_id, row.label))
        decision = await _decision(conn, project_id, row)
    approvals = [_approval.decode(one) for one in row.approvals]
    found = await difference(request, row.kind, older, newer) if newer is not None else None
    me = access.session(request).principal.user
    return await page(
        request,
        "promotion.html",
        status=refusal.status if refusal else 200,
        past=then,
        size=found.size if found else 0,
        active="promotions",
        kind=kind,
        line=line,
        row=row,
        newer=newer,
        older=older,
        now=now,
        radius=await blast_radius(request, newer) if newer and row.status == "open" and not then else None,
        referenced=referenced,
        approvals=approvals,
        decision=decision,
        found=found,
        is_mine=row.requester_id == me.id,
        approved=any(_is(one, me.id) for one in approvals),
        comment=comment,
        refusal=refusal,
        max_note=MAX_NOTE,
    )


async def _version(
    conn: Connection, project_id: int, row: PromotionRow, number: int | None, read_model: ReadModel
) -> Version | None:
    """A version of what has the label; None for what is archived, also when something else has the name now."""
    if number is None:
        return None
    try:
        found = await RepresentationCache.version_in(conn, project_id, row.kind, row.name, number, read_model)
    except NotFound:
        return None
    return found if found.stream_id == row.stream_id else None


async def _decision(conn: Connection, project_id: int, row: PromotionRow) -> Decision | None:
    """Of what was rejected, withdrawn or outdated: the event that ended it. The approvals say the rest."""
    if row.decided_position is None:
        return None
    [recorded] = await read_after(conn, row.decided_position - 1, limit=1)
    people = await people_of(conn, {recorded.actor_id} if recorded.actor_id is not None else set())
    event = decode(recorded.topic, recorded.state)
    return Decision(people.get(recorded.actor_id or 0, b"null"), getattr(event, "comment", ""))


def _is(approval: Approval, user_id: int) -> bool:
    by = msgspec.json.decode(approval.by)
    return by is not None and by["id"] == user_id


HANDLERS = (listing, review, decide)
