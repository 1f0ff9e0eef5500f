"""Promotions: a version is proposed for a label, others approve, and the label moves with the last approval."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from litestar import Controller, Request, Response, get, post
from litestar.params import FromPath, RawBody

from api.access.authenticate import require
from api.artifacts import common as artifacts
from api.artifacts.common import Command
from api.cache.reader import missing
from api.commands.caller import caller_of
from api.commands.execute import Done
from api.governance import commands
from api.governance.commands import ACTIONS, Action
from api.governance.policies import label_of
from api.governance.schemas import Decide, LabelHistory, PromotionAnswer, PromotionPage, RequestPromotion
from api.http import conditional, pages
from api.http.context import context
from api.http.errors import documented
from api.http.requests import header_of, project_of, query_of
from api.http.responses import Header, json_answer, to_response
from api.openapi.parameters import Param, route
from api.payload.decode import read
from api.services import services
from domain.artifacts.kinds import KINDS
from domain.artifacts.versioned import Versioned
from domain.keys import allows
from domain.names import MAX_LABEL
from projections.events import policies
from projections.read import promotions
from projections.read.past import AsOfReadModel
from projections.read.promotions import STATUSES, PromotionQuery, PromotionRow
from projections.write import labels, names
from store.postgres.connection import Connection

READS = (400, 401, 403, 404, 429, 503)
CREATES = (400, 401, 403, 404, 409, 412, 413, 415, 422, 429, 503)
WRITES = (400, 401, 403, 404, 409, 413, 415, 422, 429, 503)

STATUS = Param("status", {"type": "string", "enum": list(STATUSES)}, "Only those that are so now.", "open")
NAME = Param(
    "name",
    {"type": "string"},
    "Only those of the skill or prompt of this name, or that has had it last.",
    "support-agent",
)
LABEL = Param(
    "label",
    {"type": "string", "minLength": 1, "maxLength": MAX_LABEL},
    "Only those of this label.",
    "production",
)


class PromotionsController(Controller):
    """Needs a scope of skills or of prompts; what the key may not read is not listed."""

    path = "/promotions"
    tags = ("governance",)
    guards = (artifacts.guard,)

    @get(
        "/",
        operation_id="promotions_list",
        summary="List promotions",
        opt=route(
            tuple(f"{kind.SCOPE}:read" for kind in KINDS.values()),
            query=(STATUS, NAME, LABEL, artifacts.LIMIT, artifacts.OFFSET, *artifacts.PAST),
        ),
        responses=documented(*READS),
    )
    async def list(self, request: Request[Any, Any, Any]) -> Response[PromotionPage]:
        """Newest first, those of archived names as well; of the kinds that the key may read."""
        query = query_of(request)
        limit, offset = pages.page_bounds(query)
        scopes = context(request).principal.scopes
        wanted = PromotionQuery(
            kinds=[name for name, kind in KINDS.items() if allows(scopes, f"{kind.SCOPE}:read")],
            limit=limit,
            offset=offset,
            status=query.choice("status", STATUSES),
            name=query.text("name"),
            label=query.text("label", max_length=MAX_LABEL),
        )
        async with services(request).pool.connection() as conn:
            position = await _position(request, conn)
            count, rows = await promotions.page(conn, project_of(request), wanted, position)
            shown = await _shown(conn, project_of(request), rows, position)
        links = pages.page_links(request, query, count, limit, offset, len(rows))
        return conditional.answer(request, pages.page_json(count, links, shown))


def _project_action(action: Action) -> Any:
    @post(
        f"/{{promotion_id:str}}/{action.word}",
        operation_id=f"promotions_{action.word}_create",
        summary=action.summary,
        description=action.text,
        status_code=200,
        opt=route(tuple(action.scope_of(kind) for kind in KINDS.values()), body=Decide, logged=None),
        responses=documented(*WRITES),
    )
    async def act(
        self: Controller, request: Request[Any, Any, Any], promotion_id: FromPath[str], body: RawBody
    ) -> Response[PromotionAnswer]:
        return await _act(request, action, promotion_id, body)

    return act


for _action in ACTIONS:
    setattr(PromotionsController, _action.word, _project_action(_action))


def promotions_controller(cls: type[Versioned]) -> type[Controller]:
    """Promotions of one kind, and where its labels pointed."""
    one = f"/name/{{{cls.KIND}_name:str}}"

    def name_of(request: Request[Any, Any, Any]) -> str:
        found: str = request.path_params[f"{cls.KIND}_name"]
        return found

    @post(
        f"{one}/promotions",
        operation_id=f"{cls.RESOURCE}_name_promotions_create",
        summary="Request a promotion",
        description="Propose a version for a label; others approve it, and the label moves with the last approval. "
        "The label stays where it is until then.",
        opt=route(f"{cls.SCOPE}:write", body=RequestPromotion),
        responses=documented(*CREATES),
    )
    async def create(
        self: Controller, request: Request[Any, Any, Any], body: RawBody
    ) -> Response[PromotionAnswer]:
        data = await read(RequestPromotion, body, header_of(request, b"content-type"))
        requesting = commands.request(context(request), cls, name_of(request), data)
        done = await _once(request, body, requesting)
        async with services(request).pool.connection() as conn:
            row = await promotions.requested_at(conn, project_of(request), done.position)
        return await _answer(request, row, done)

    @get(
        f"{one}/labels/{{label_name:str}}/history",
        operation_id=f"{cls.RESOURCE}_name_labels_history_list",
        summary="Show where a label pointed",
        description="Every version that the label has pointed to, from when until when, set by whom and by which promotion.",
        opt=route(f"{cls.SCOPE}:read", query=(artifacts.LIMIT, artifacts.OFFSET, *artifacts.PAST)),
        responses=documented(*READS),
    )
    async def label_history(
        self: Controller, request: Request[Any, Any, Any], label_name: FromPath[str]
    ) -> Response[LabelHistory]:
        query, label = query_of(request), label_of(label_name)
        limit, offset = pages.page_bounds(query)
        async with services(request).pool.connection() as conn:
            position = await _position(request, conn)
            stream = await _stream_of(conn, project_of(request), cls.KIND, name_of(request), position)
            count, rows = await labels.past(
                conn, stream, label, limit=limit, offset=offset, position=position
            )
        links = pages.page_links(request, query, count, limit, offset, len(rows))
        return conditional.answer(request, pages.page_json(count, links, rows))

    def of_name(action: Action, place: str) -> Any:
        """Below the name, and below the kind for those who have the id alone; the document shows the first."""

        @post(
            f"{place}/promotions/{{promotion_id:str}}/{action.word}",
            operation_id=f"{cls.RESOURCE}_name_promotions_{action.word}_create",
            include_in_schema=place == one,
            summary=action.summary,
            description=action.text,
            status_code=200,
            opt=route(action.scope_of(cls), body=Decide, logged=None),
            responses=documented(*WRITES),
        )
        async def act(
            self: Controller, request: Request[Any, Any, Any], promotion_id: FromPath[str], body: RawBody
        ) -> Response[PromotionAnswer]:
            name = name_of(request) if place == one else None
            return await _act(request, action, promotion_id, body, of=(cls.KIND, name))

        return act

    members = {
        "path": f"/{cls.RESOURCE}",
        "tags": ("governance",),
        "guards": (artifacts.guard,),
        "create": create,
        "label_history": label_history,
        **{action.word: of_name(action, one) for action in ACTIONS},
        **{f"{action.word}_by_id": of_name(action, "") for action in ACTIONS},
    }
    return type(f"{cls.__name__}PromotionsController", (Controller,), members)


async def _act(
    request: Request[Any, Any, Any],
    action: Action,
    promotion_id: str,
    body: bytes,
    of: tuple[str, str | None] | None = None,
) -> Response[Any]:
    """``of``: the kind, and the name if there is one, that the promotion has to be of. Raises NotFound, PermissionDenied, Decided."""
    data = await read(Decide, body, header_of(request, b"content-type"))
    row = await commands.find(context(request), promotion_id, *(of or ()))
    require(context(request).principal, action.scope_of(KINDS[row.kind]))

    done = await _once(request, body, commands.decide(context(request), action, row, data.comment))
    async with services(request).pool.connection() as conn:
        found = await promotions.find(conn, project_of(request), row.id, done.position)
    return await _answer(request, found or row, done)


async def _once(request: Request[Any, Any, Any], body: bytes, execute: Command) -> Done:
    """Execute the command that ``body`` came with, or find what it did before."""
    executor = services(request).commands
    caller = await caller_of(context(request), body)
    async with executor.once(caller) as before:
        return before or await execute(caller, executor)


async def _answer(request: Request[Any, Any, Any], row: PromotionRow, done: Done) -> Response[Any]:
    async with services(request).pool.connection() as conn:
        (shown,) = await _shown(conn, project_of(request), [row], done.position)
    headers: list[Header] = [(b"x-event-position", b"%d" % done.position)]
    if done.replayed:
        headers.append((b"idempotent-replayed", b"true"))
    return to_response(json_answer(shown, status=done.status, extra=headers))


async def _shown(
    conn: Connection, project_id: int, rows: Sequence[PromotionRow], position: int | None
) -> list[bytes]:
    """As they were at a position; None is now."""
    required = await policies.required_approvals(conn, project_id) if rows else None
    return [
        promotions.promotion_json(row, required.of(row.label, row.decided_position or position))
        for row in rows
        if required is not None
    ]


async def _position(request: Request[Any, Any, Any], conn: Connection) -> int | None:
    """That of the past that the query names, None for now. Raises Invalid."""
    model = await artifacts.read_model_of(conn, query_of(request))
    return model.at if isinstance(model, AsOfReadModel) else None


async def _stream_of(conn: Connection, project_id: int, kind: str, name: str, position: int | None) -> UUID:
    """The stream that holds the name, or held it then. Raises NotFound with close names, or NameChanged."""
    if position is None:
        stream = await names.holder(conn, project_id, kind, name)
        if stream is None:
            raise await missing(conn, project_id, kind, name)
        return stream
    past = AsOfReadModel(position)
    found = await past.find(conn, project_id, kind, name)
    if found is None:
        raise await missing(conn, project_id, kind, name, past)
    return found[0]
