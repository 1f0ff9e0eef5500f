"""Label policies: which labels of a project are protected, for skills and prompts alike."""

from typing import Any

from litestar import Controller, Request, Response, delete, get, put
from litestar.openapi import ResponseSpec
from litestar.params import FromPath, RawBody

from api.artifacts import common as artifacts
from api.governance import commands
from api.governance.schemas import PolicyAnswer, PolicyList, SetPolicy
from api.http import conditional
from api.http.context import context
from api.http.errors import documented
from api.http.requests import header_of, project_of, query_of
from api.http.responses import Answer, json_answer, to_response
from api.openapi.parameters import route
from api.payload.decode import read
from api.services import services
from domain.artifacts.policies import SCOPE
from domain.errors import Invalid
from domain.names import check_label
from projections.events import policies
from projections.read.past import AsOfReadModel


class LabelPoliciesController(Controller):
    """Needs the scope ``project:admin``."""

    path = "/label-policies"
    tags = ("governance",)
    guards = (artifacts.guard,)

    @get(
        "/",
        operation_id="label_policies_list",
        summary="List label policies",
        opt=route(SCOPE, query=artifacts.PAST),
        responses=documented(400, 401, 403, 404, 429, 503),
    )
    async def list(self, request: Request[Any, Any, Any]) -> Response[PolicyList]:
        """They hold for the labels of skills and of prompts. A label without a policy is moved by each key that may write."""
        async with services(request).pool.connection() as conn:
            model = await artifacts.read_model_of(conn, query_of(request))
            position = model.at if isinstance(model, AsOfReadModel) else None
            rows = await policies.at(conn, project_of(request), position)
            shown = await policies.rows_json(conn, rows)
        return conditional.answer(request, b'{"results":[' + b",".join(shown) + b"]}")

    @put(
        "/{label_name:str}",
        operation_id="label_policies_update",
        summary="Protect a label",
        opt=route(SCOPE, body=SetPolicy, logged=None),
        responses={
            201: ResponseSpec(PolicyAnswer, generate_examples=False, description="The policy is new."),
            **documented(400, 401, 403, 404, 413, 415, 429, 503),
        },
    )
    async def set_policy(
        self, request: Request[Any, Any, Any], label_name: FromPath[str], body: RawBody
    ) -> Response[PolicyAnswer]:
        """201 for a label that had no policy, 200 for one that had. What has the label keeps it."""
        data = await read(SetPolicy, body, header_of(request, b"content-type"))
        label = label_of(label_name)
        position, known = await commands.set_policy(context(request), label, data)
        async with services(request).pool.connection() as conn:
            rows = [
                row for row in await policies.at(conn, project_of(request), position) if row.label == label
            ]
            (shown,) = await policies.rows_json(conn, rows)
        headers = [(b"x-event-position", b"%d" % rows[0].position)]
        return to_response(json_answer(shown, status=200 if known else 201, extra=headers))

    @delete(
        "/{label_name:str}",
        operation_id="label_policies_destroy",
        summary="Remove a label policy",
        status_code=204,
        opt=route(SCOPE),
        responses=documented(400, 401, 403, 404, 429, 503),
    )
    async def remove_policy(
        self, request: Request[Any, Any, Any], label_name: FromPath[str]
    ) -> Response[None]:
        """The label is one like any other again."""
        position = await commands.remove_policy(context(request), label_of(label_name))
        return to_response(Answer(204, [(b"x-event-position", b"%d" % position)], b""))


def label_of(text: str) -> str:
    """Raises Invalid that blames the address."""
    try:
        return check_label(text)
    except Invalid as error:
        raise error.within("label_name") from None
