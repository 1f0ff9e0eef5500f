"""What can be done with every kind of artifact, made for one kind at a time.

Archive, duplicate, labels, resolve; history, diff, blame, revert, restore and the list of archived ones.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from uuid import UUID

import msgspec
from litestar import Controller, Request, Response, delete, get, post, put
from litestar.openapi import ResponseSpec
from litestar.params import FromPath, RawBody

from api.artifacts import commands as changes
from api.artifacts import common as artifacts
from api.artifacts import comparing, history, labels, schemas, yanks
from api.artifacts.common import Command, run
from api.artifacts.history import PAGE, READS, RESTORES, WRITES
from api.http import pages
from api.http.conditional import answer
from api.http.context import context
from api.http.errors import documented
from api.http.query import Query
from api.http.requests import header_of, project_of, query_of
from api.http.responses import to_response
from api.openapi.parameters import Param, route
from api.payload.decode import ignore, read
from api.services import services
from projections.read import tags as tagging
from projections.read.kinds import Kind
from projections.read.versions import Row

MEDIA = (comparing.MEDIA_TYPE,)
LABELS = (400, 401, 403, 404, 409, 412, 413, 415, 429, 503)
UNLABELS = (400, 401, 403, 404, 409, 412, 429, 503)


class Rows(msgspec.Struct, frozen=True):
    """How a list shows archived artifacts: whether it reads their texts, and the JSON of a row."""

    with_body: bool
    json: Callable[[Row], bytes]


class ArtifactApi(msgspec.Struct, frozen=True):
    """In what the API of one kind differs from that of another.

    ``answer`` is what a write answers with, ``archive`` what archiving does (None: nothing, 204); ``duplicate`` and ``rename`` are
    bodies with ``new_name``. ``texts`` describes each operation. Queries are parameters beyond those of all kinds.
    """

    kind: Kind
    answer: type[msgspec.Struct]
    archive: type[msgspec.Struct] | None
    duplicate: type[msgspec.Struct]
    rename: type[msgspec.Struct]
    resolved: type[msgspec.Struct]
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
    tag = f"{cls.KIND}s"
    archive_status = 204 if api.archive is None else 200

    def name_of(request: Request[Any, Any, Any]) -> str:
        found: str = request.path_params[f"{cls.KIND}_name"]
        return found

    async def execute(request: Request[Any, Any, Any], body: bytes, command: Command) -> Response[Any]:
        return to_response(await run(context(request), body, cls.KIND, command))

    @post(
        f"{one}/archive",
        operation_id=f"{cls.RESOURCE}_name_archive_create",
        summary=f"Archive a {cls.KIND}",
        description=api.texts["archive"],
        status_code=archive_status,
        tags=(tag,),
        opt=route(writing),
        responses=documented(*WRITES),
    )
    @answers(api.archive)
    async def archive(self: Controller, request: Request[Any, Any, Any], body: RawBody) -> Response[Any]:
        await ignore(body, header_of(request, b"content-type"))
        archiving = changes.archive(context(request), cls, name_of(request), status=archive_status)
        return await execute(request, body, archiving)

    @post(
        f"{one}/duplicate",
        operation_id=f"{cls.RESOURCE}_name_duplicate_create",
        summary=f"Duplicate a {cls.KIND}",
        description=api.texts["duplicate"],
        tags=(tag,),
        opt=route(writing, body=api.duplicate),
        responses=documented(*WRITES),
    )
    @answers(api.answer)
    async def duplicate(self: Controller, request: Request[Any, Any, Any], body: RawBody) -> Response[Any]:
        data: Any = await read(api.duplicate, body, header_of(request, b"content-type"))
        copying = changes.duplicate(context(request), cls, name_of(request), data.new_name)
        return await execute(request, body, copying)

    @post(
        f"{one}/rename",
        operation_id=f"{cls.RESOURCE}_name_rename_create",
        summary=f"Rename a {cls.KIND}",
        description=api.texts["rename"],
        status_code=200,
        tags=(tag,),
        opt=route(writing, body=api.rename),
        responses=documented(*WRITES),
    )
    @answers(api.answer)
    async def rename(self: Controller, request: Request[Any, Any, Any], body: RawBody) -> Response[Any]:
        data: Any = await read(api.rename, body, header_of(request, b"content-type"))
        renaming = changes.rename(context(request), cls, name_of(request), data.new_name)
        return await execute(request, body, renaming)

    @put(
        f"{one}/labels/{{label_name:str}}",
        operation_id=f"{cls.RESOURCE}_name_labels_update",
        summary="Point a label to a version",
        description=f"201 for a label that the {cls.KIND} did not have, 200 for one that it had.",
        tags=(tag,),
        opt=route(writing, body=schemas.SetLabel),
        responses={
            201: ResponseSpec(schemas.LabelAnswer, generate_examples=False, description="The label is new."),
            **documented(*LABELS),
        },
    )
    async def set_label(
        self: Controller, request: Request[Any, Any, Any], label_name: FromPath[str], body: RawBody
    ) -> Response[schemas.LabelAnswer]:
        return await labels.set_label(request, cls, name_of(request), label_name, body)

    @delete(
        f"{one}/labels/{{label_name:str}}",
        operation_id=f"{cls.RESOURCE}_name_labels_destroy",
        summary="Remove a label",
        description="The version stays.",
        status_code=204,
        tags=(tag,),
        opt=route(writing),
        responses=documented(*UNLABELS),
    )
    async def remove_label(
        self: Controller, request: Request[Any, Any, Any], label_name: FromPath[str]
    ) -> Response[None]:
        return await labels.remove_label(request, cls, name_of(request), label_name)

    @post(
        f"{one}/versions/{{version_number:str}}/yank",
        operation_id=f"{cls.RESOURCE}_name_versions_yank_create",
        summary=f"Yank a version of a {cls.KIND}",
        description="It is still read by its number, which says so in `yanked`. The latest version is then the newest that is not\n"
        "yanked, a label that points to this one is 410 `yanked` until it moves, and lists and installers pass over it.\n"
        "A version that is yanked already stays as it is.",
        status_code=200,
        tags=(tag,),
        opt=route(writing, body=schemas.Yank),
        responses=documented(*WRITES),
    )
    @answers(api.answer)
    async def yank(
        self: Controller, request: Request[Any, Any, Any], version_number: FromPath[str], body: RawBody
    ) -> Response[Any]:
        return await yanks.yank_answer(request, cls, name_of(request), version_number, body)

    @post(
        f"{one}/versions/{{version_number:str}}/unyank",
        operation_id=f"{cls.RESOURCE}_name_versions_unyank_create",
        summary=f"Take the yank of a version of a {cls.KIND} back",
        description="It is a version like any other again; one that is not yanked stays as it is.",
        status_code=200,
        tags=(tag,),
        opt=route(writing, body=schemas.Unyank),
        responses=documented(*WRITES),
    )
    @answers(api.answer)
    async def unyank(
        self: Controller, request: Request[Any, Any, Any], version_number: FromPath[str], body: RawBody
    ) -> Response[Any]:
        return await yanks.unyank_answer(request, cls, name_of(request), version_number, body)

    @get(
        f"/resolve{one}",
        operation_id=f"{cls.RESOURCE}_resolve_name_retrieve",
        summary=f"Resolve a {cls.KIND} and its versions",
        description=api.texts["resolve"],
        tags=(tag,),
        opt=route(reading, query=artifacts.RESOLVE),
        responses=documented(*READS, 410),
    )
    @answers(api.resolved)
    async def resolve(self: Controller, request: Request[Any, Any, Any]) -> Response[Any]:
        return await artifacts.resolve(request, kind, name_of(request))

    @get(
        f"{one}/history",
        operation_id=f"{cls.RESOURCE}_name_history_list",
        summary=f"Show what happened to a {cls.KIND}",
        description=api.texts["history"],
        tags=("history",),
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
        tags=("history",),
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
        tags=("history",),
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
        tags=("history",),
        status_code=200,
        opt=route(writing, body=schemas.Revert),
        responses=documented(*WRITES),
    )
    @answers(api.answer)
    async def revert(self: Controller, request: Request[Any, Any, Any], body: RawBody) -> Response[Any]:
        data, base = await history.revert_of(request, body)
        reverting = changes.revert(context(request), cls, name_of(request), data.version, base)
        return await execute(request, body, reverting)

    @post(
        f"{one}/restore",
        operation_id=f"{cls.RESOURCE}_name_restore_create",
        summary=f"Bring an archived {cls.KIND} back",
        description=api.texts["restore"],
        tags=("history",),
        status_code=200,
        opt=route(writing, body=schemas.Restore),
        responses=documented(*RESTORES),
    )
    @answers(api.answer)
    async def restore(self: Controller, request: Request[Any, Any, Any], body: RawBody) -> Response[Any]:
        data = await read(schemas.Restore, body, header_of(request, b"content-type"))
        id = None if data.id is msgspec.UNSET else UUID(data.id)
        return await execute(request, body, changes.restore(context(request), cls, name_of(request), id))

    @get(
        "/tags",
        operation_id=f"{cls.RESOURCE}_tags_list",
        summary=f"List the tags of {cls.KIND}s",
        description=f"Every tag that an active {cls.KIND} of the project has, sorted; the first {tagging.MAX_TAGS_LISTED:,} of them.",
        tags=(tag,),
        opt=route(reading),
        responses=documented(*READS),
    )
    async def tags_in_use(self: Controller, request: Request[Any, Any, Any]) -> Response[schemas.TagList]:
        project_id = project_of(request)
        found = await services(request).reads.ask(lambda conn: tagging.in_use(conn, project_id, cls.KIND))
        return answer(request, msgspec.json.encode(schemas.TagList(found)))

    @get(
        "/archived",
        operation_id=f"{cls.RESOURCE}_archived_list",
        summary=f"List archived {cls.KIND}s",
        description=api.texts["archived"],
        tags=("history",),
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
        "guards": (artifacts.guard,),
        "archive": archive,
        "duplicate": duplicate,
        "rename": rename,
        "set_label": set_label,
        "remove_label": remove_label,
        "yank": yank,
        "unyank": unyank,
        "resolve": resolve,
        "history": history_of,
        "diff": diff,
        "blame": blame,
        "revert": revert,
        "restore": restore,
        "tags_in_use": tags_in_use,
        "archived": archived,
    }
    return type(f"{cls.__name__}ArtifactController", (Controller,), members)


def answers(
    struct: type[msgspec.Struct] | None,
) -> Callable[[Callable[..., Awaitable[Response[Any]]]], Callable[..., Awaitable[Response[Any]]]]:
    """Says what is in the ``Response`` of a handler that is made for a kind: the document takes it from there."""

    def annotated(
        handler: Callable[..., Awaitable[Response[Any]]],
    ) -> Callable[..., Awaitable[Response[Any]]]:
        handler.__annotations__["return"] = Response.__class_getitem__(struct)  # type: ignore[attr-defined]
        return handler

    return annotated
