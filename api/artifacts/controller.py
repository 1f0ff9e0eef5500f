"""What can be done with every kind of artifact, made for one kind at a time: history, diff, blame, revert, restore, archived."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec
from litestar import Controller, Request, Response, get, post
from litestar.params import RawBody

from api.artifacts import common as artifacts
from api.artifacts import comparing, history, schemas
from api.artifacts.common import run
from api.artifacts.history import PAGE, READS, RESTORES, REVERTS
from api.commands.repository import Loaded
from api.http import pages
from api.http.context import context
from api.http.errors import documented
from api.http.query import Query
from api.http.requests import query_of
from api.http.responses import to_response
from api.openapi.parameters import Param, route
from domain.content import Content
from projections.read.kinds import Kind
from projections.read.versions import Row
from store.ids import new_id

MEDIA = (comparing.MEDIA_TYPE,)


class Rows(msgspec.Struct, frozen=True):
    """How a list shows archived artifacts: whether it reads their texts, and the JSON of a row."""

    with_body: bool
    json: Callable[[Row], bytes]


class ArtifactApi(msgspec.Struct, frozen=True):
    """In what the API of one kind differs from that of another.

    ``answer`` is what a write answers with; ``texts`` describes each operation. Queries are parameters beyond those of all kinds.
    """

    kind: Kind
    answer: type[msgspec.Struct]
    diff: type[msgspec.Struct]
    archived: type[msgspec.Struct]
    rows: Callable[[Query], Rows]
    texts: Mapping[str, str]
    diff_query: tuple[Param, ...] = ()
    blame_query: tuple[Param, ...] = ()
    archived_query: tuple[Param, ...] = ()


def artifact_controller(api: ArtifactApi) -> type[Controller]:
    """The controller of one kind; every route needs a key with the scope that it names."""
    kind, cls = api.kind, api.kind.aggregate
    one = f"/name/{{{cls.KIND}_name:str}}"
    reading, writing = f"{cls.SCOPE}:read", f"{cls.SCOPE}:write"

    def name_of(request: Request[Any, Any, Any]) -> str:
        found: str = request.path_params[f"{cls.KIND}_name"]
        return found

    @get(
        f"{one}/history",
        operation_id=f"{cls.RESOURCE}_name_history_list",
        summary=f"Show what happened to a {cls.KIND}",
        description=api.texts["history"],
        opt=route(reading, query=history.HISTORY),
        responses=documented(*READS),
    )
    async def history_of(self: Controller, request: Request[Any, Any, Any]) -> Response[schemas.HistoryPage]:
        return await history.history_answer(request, kind, name_of(request))

    @get(
        f"{one}/diff",
        operation_id=f"{cls.RESOURCE}_name_diff_retrieve",
        summary=f"Compare two versions of a {cls.KIND}",
        description=api.texts["diff"],
        opt=route(
            reading, query=(comparing.FROM, comparing.TO, comparing.FORMAT, *api.diff_query), media=MEDIA
        ),
        responses=documented(*READS),
    )
    @answers(api.diff)
    async def diff(self: Controller, request: Request[Any, Any, Any]) -> Response[Any]:
        return await comparing.diff_answer(request, kind, name_of(request))

    @get(
        f"{one}/blame",
        operation_id=f"{cls.RESOURCE}_name_blame_retrieve",
        summary=f"Show which version brought each line of a {cls.KIND}",
        description=api.texts["blame"],
        opt=route(reading, query=(*api.blame_query, artifacts.VERSION)),
        responses=documented(*READS),
    )
    async def blame(self: Controller, request: Request[Any, Any, Any]) -> Response[schemas.BlameAnswer]:
        return await comparing.blame_answer(request, kind, name_of(request))

    @post(
        f"{one}/revert",
        operation_id=f"{cls.RESOURCE}_name_revert_create",
        summary=f"Go back to an earlier version of a {cls.KIND}",
        description=api.texts["revert"],
        status_code=200,
        opt=route(writing, body=schemas.Revert),
        responses=documented(*REVERTS),
    )
    @answers(api.answer)
    async def revert(self: Controller, request: Request[Any, Any, Any], body: RawBody) -> Response[Any]:
        async def decide(loaded: Loaded[Any], current: Any) -> list[Content]:
            old = await history.old_state(request, loaded, base, data.version)
            current.revert(old, version_id=new_id(), base_version=base)
            return []

        data, base = await history.revert_of(request, body)
        name = name_of(request)
        return to_response(
            await run(
                context(request),
                body,
                cls.KIND,
                lambda caller, commands: commands.change(caller, cls, name, decide),
            )
        )

    @post(
        f"{one}/restore",
        operation_id=f"{cls.RESOURCE}_name_restore_create",
        summary=f"Bring an archived {cls.KIND} back",
        description=api.texts["restore"],
        status_code=200,
        opt=route(writing, body=schemas.Restore),
        responses=documented(*RESTORES),
    )
    @answers(api.answer)
    async def restore(self: Controller, request: Request[Any, Any, Any], body: RawBody) -> Response[Any]:
        return await history.restore_answer(request, kind, name_of(request), body)

    @get(
        "/archived",
        operation_id=f"{cls.RESOURCE}_archived_list",
        summary=f"List archived {cls.KIND}s",
        description=api.texts["archived"],
        opt=route(reading, query=(*api.archived_query, *PAGE)),
        responses=documented(*READS),
    )
    @answers(api.archived)
    async def archived(self: Controller, request: Request[Any, Any, Any]) -> Response[Any]:
        shown = api.rows(query_of(request))
        count, rows, links = await history.archived_page(request, cls.KIND, with_body=shown.with_body)

        def page() -> bytes:
            found = [history.archived_json(shown.json(one.row), one) for one in rows]
            return pages.page_json(count, links, found)

        return await artifacts.large_answer(request, sum(one.row.size for one in rows), page)

    members = {
        "path": f"/{cls.RESOURCE}",
        "tags": ("history",),
        "guards": (artifacts.guard,),
        "history": history_of,
        "diff": diff,
        "blame": blame,
        "revert": revert,
        "restore": restore,
        "archived": archived,
    }
    return type(f"{cls.__name__}HistoryController", (Controller,), members)


def answers(
    struct: type[msgspec.Struct],
) -> Callable[[Callable[..., Awaitable[Response[Any]]]], Callable[..., Awaitable[Response[Any]]]]:
    """Says what is in the ``Response`` of a handler that is made for a kind: the document takes it from there."""

    def annotated(
        handler: Callable[..., Awaitable[Response[Any]]],
    ) -> Callable[..., Awaitable[Response[Any]]]:
        handler.__annotations__["return"] = Response.__class_getitem__(struct)  # type: ignore[attr-defined]
        return handler

    return annotated
