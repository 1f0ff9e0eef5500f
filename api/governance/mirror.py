"""The mirror: what a project is kept equal to, and by which key alone."""

from typing import Any

from litestar import Controller, Request, Response, delete, get, put
from litestar.openapi import ResponseSpec
from litestar.params import RawBody

from api.artifacts import common as artifacts
from api.governance import commands
from api.governance.schemas import BeginMirror, MirrorAnswer
from api.http import conditional
from api.http.context import context
from api.http.errors import documented
from api.http.requests import header_of, project_of, query_of
from api.http.responses import Answer, json_answer, to_response
from api.openapi.parameters import route
from api.payload.decode import read
from api.services import services
from domain.artifacts.mirrors import SCOPE, no_mirror
from projections.events import mirrors
from projections.read.past import AsOfReadModel


class MirrorController(Controller):
    """Needs the scope ``project:admin``."""

    path = "/mirror"
    tags = ("governance",)
    guards = (artifacts.guard,)

    @get(
        "/",
        operation_id="mirror_retrieve",
        summary="What a project is a mirror of",
        opt=route(SCOPE, query=artifacts.PAST),
        responses=documented(400, 401, 403, 404, 429, 503),
    )
    async def show(self, request: Request[Any, Any, Any]) -> Response[MirrorAnswer]:
        """404 for a project that is no mirror."""
        async with services(request).pool.connection() as conn:
            model = await artifacts.read_model_of(conn, query_of(request))
            position = model.at if isinstance(model, AsOfReadModel) else None
            row = await mirrors.at(conn, project_of(request), position)
            if row is None:
                raise no_mirror()
            shown = await mirrors.row_json(conn, row)
        return conditional.answer(request, shown)

    @put(
        "/",
        operation_id="mirror_update",
        summary="Make a project a mirror",
        opt=route(SCOPE, body=BeginMirror, logged=None),
        responses={
            201: ResponseSpec(
                MirrorAnswer, generate_examples=False, description="The project was no mirror before."
            ),
            **documented(400, 401, 403, 404, 413, 415, 429, 503),
        },
    )
    async def begin(self, request: Request[Any, Any, Any], body: RawBody) -> Response[MirrorAnswer]:
        """From now on only the key of this request changes skills, prompts, labels, policies and promotions of the project; for
        every other it is 403 `mirror`. 200 when it was a mirror already; another key takes over.
        """
        data = await read(BeginMirror, body, header_of(request, b"content-type"))
        position, known = await commands.begin_mirror(context(request), data.source)
        async with services(request).pool.connection() as conn:
            row = await mirrors.at(conn, project_of(request), position)
            if row is None:
                raise no_mirror()
            shown = await mirrors.row_json(conn, row)
        headers = [(b"x-event-position", b"%d" % row.position)]
        return to_response(json_answer(shown, status=200 if known else 201, extra=headers))

    @delete(
        "/",
        operation_id="mirror_destroy",
        summary="End a mirror",
        status_code=204,
        opt=route(SCOPE),
        responses=documented(400, 401, 403, 404, 429, 503),
    )
    async def end(self, request: Request[Any, Any, Any]) -> Response[None]:
        """What is in the project stays, and every key writes to it as before."""
        position = await commands.end_mirror(context(request))
        return to_response(Answer(204, [(b"x-event-position", b"%d" % position)], b""))
