"""The prompts API: ``/api/{environments,projects}/{project_id}/llm_prompts/…``."""

from collections.abc import Awaitable, Callable
from typing import Any, cast, get_args

import msgspec
from litestar import Controller, Request, Response, delete, get, patch, post, put
from litestar.openapi import ResponseSpec
from litestar.params import FromPath, RawBody

from api.artifacts import common as artifacts
from api.artifacts.common import check_etag, run, version_number
from api.artifacts.marks import marks_of
from api.commands.caller import caller_of
from api.commands.execute import Caller, Commands, Done
from api.commands.repository import Loaded
from api.http import pages
from api.http.context import context
from api.http.errors import documented
from api.http.query import BOOLEANS, Query
from api.http.requests import header_of, project_of, query_of
from api.http.responses import Answer, json_answer, to_response
from api.offload import heavy
from api.openapi.parameters import Param, integer, route
from api.payload.decode import read
from api.prompts import schemas
from api.prompts.commands import KIND, new_prompt, publish
from api.services import services
from domain.artifacts.prompts import Prompt
from domain.content import Content
from domain.errors import Invalid, NotFound
from domain.names import MAX_LABEL, check_label
from projections.read import prompts
from projections.read.prompts import Show
from projections.read.versions import Pick
from projections.write import labels

READ, WRITE = f"{Prompt.SCOPE}:read", f"{Prompt.SCOPE}:write"

CONTENT = Param(
    "content",
    {"type": "string", "enum": list(get_args(Show)), "default": "full"},
    "`full` sends the prompt, `preview` its first 160 characters, `none` neither.",
    "preview",
)
LABEL = Param(
    "label",
    {"type": "string", "minLength": 1, "maxLength": MAX_LABEL},
    "The version that this label points to; excludes `version`.",
    "production",
)
TEXT_ONLY = Param(
    "text_only",
    {"type": "string", "enum": list(BOOLEANS)},
    "`true` leaves out prompts that are no text but a chat or another JSON value. Default: `false`, unless the operator has set "
    "`SKALD_SDK_TEXT_ONLY` and the request has the project's `token`, as those of the SDKs have.",
    "true",
)
# The label has the example of the two.
VERSION_OR_LABEL = Param("version", integer(1), "Which version; the latest when absent; excludes `label`.")
HAVING_LABEL = msgspec.structs.replace(
    LABEL, description="Only prompts that have this label, at the version that it points to."
)
SEARCH = Param("search", {"type": "string"}, "Part of the name or of the text, in any case.", "agent")


class PromptsController(Controller):
    """Every route needs a key with the scope that it names."""

    path = f"/{Prompt.RESOURCE}"
    tags = ("prompts",)
    guards = (artifacts.guard,)

    @get(
        "/",
        operation_id="llm_prompts_list",
        summary="List prompts",
        opt=route(
            READ,
            query=(
                CONTENT,
                SEARCH,
                HAVING_LABEL,
                TEXT_ONLY,
                *artifacts.NARROWED,
                artifacts.ORDER,
                artifacts.LIMIT,
                artifacts.OFFSET,
                *artifacts.PAST,
            ),
        ),
        responses=documented(400, 401, 403, 404, 429, 503),
    )
    async def list(self, request: Request[Any, Any, Any]) -> Response[schemas.PromptPage]:
        """The latest versions of all active prompts of the project, or those that a label points to."""
        query = query_of(request)
        show, label = show_of(query), label_of(query)
        count, rows, links = await artifacts.page(
            request,
            query,
            KIND,
            label=label,
            with_labels=True,
            with_body=show == "full",
            texts_only=texts_only(query, services(request).sdk_text_only),
        )
        return await artifacts.large_answer(
            request,
            sum(row.size for row in rows),
            lambda: pages.page_json(count, links, [prompts.row(row, show, label) for row in rows]),
        )

    @post(
        "/",
        operation_id="llm_prompts_create",
        summary="Create a prompt",
        opt=route(WRITE, body=schemas.CreatePrompt),
        responses=documented(400, 401, 403, 404, 409, 413, 415, 422, 429, 503),
    )
    async def create(self, request: Request[Any, Any, Any], body: RawBody) -> Response[schemas.PromptAnswer]:
        """Version 1 of a new prompt."""
        data = await read(schemas.CreatePrompt, body, header_of(request, b"content-type"), any_number=True)
        marks = await marks_of(context(request), data)
        prompt, contents = await heavy(len(body), lambda: new_prompt(data, body, marks))
        return await _run(request, body, lambda caller, commands: commands.create(caller, prompt, contents))

    @get(
        "/name/{prompt_name:str}",
        operation_id="llm_prompts_name_retrieve",
        summary="Get a prompt",
        opt=route(READ, query=(VERSION_OR_LABEL, LABEL, CONTENT, *artifacts.PAST)),
        responses=documented(400, 401, 403, 404, 429, 503),
    )
    async def retrieve(
        self, request: Request[Any, Any, Any], prompt_name: FromPath[str]
    ) -> Response[schemas.PromptByName]:
        """The latest version, or the one that `version` or `label` names.

        The id of an active version in place of the name is redirected to its name.
        """
        query, reader, project_id = query_of(request), services(request).reader, project_of(request)
        number, label, show = version_number(query), label_of(query), show_of(query)
        if number is not None and label is not None:
            raise Invalid("Send version or label, not both.")
        pick: Pick = number if label is None else label
        try:
            if show != "full" or artifacts.is_past(query):
                version = await artifacts.version(request, query, KIND, prompt_name, pick)
                return artifacts.picked_answer(request, prompts.shown(version, show, label))
            entry = await reader.get(project_id, KIND, prompt_name, pick)
        except NotFound as error:
            return await artifacts.redirect_to_name(request, KIND, prompt_name, error)
        return artifacts.full_answer(request, entry)

    @patch(
        "/name/{prompt_name:str}",
        operation_id="llm_prompts_name_partial_update",
        summary="Publish a new version of a prompt",
        opt=route(WRITE, body=schemas.PublishPrompt),
        responses=documented(400, 401, 403, 404, 409, 412, 413, 415, 422, 429, 503),
    )
    async def publish(
        self, request: Request[Any, Any, Any], prompt_name: FromPath[str], body: RawBody
    ) -> Response[schemas.PromptAnswer]:
        """`base_version` must be the latest version; `If-Match` with its entity tag says the same."""
        return to_response(await publish(context(request), prompt_name, body))

    @put(
        "/name/{prompt_name:str}/labels/{label_name:str}",
        operation_id="llm_prompts_name_labels_update",
        summary="Point a label to a version",
        opt=route(WRITE, body=schemas.SetLabel),
        responses={
            201: ResponseSpec(schemas.LabelAnswer, generate_examples=False, description="The label is new."),
            **documented(400, 401, 403, 404, 409, 412, 413, 415, 429, 503),
        },
    )
    async def set_label(
        self,
        request: Request[Any, Any, Any],
        prompt_name: FromPath[str],
        label_name: FromPath[str],
        body: RawBody,
    ) -> Response[schemas.LabelAnswer]:
        """201 for a label that the prompt did not have, 200 for one that it had."""
        data = await read(schemas.SetLabel, body, header_of(request, b"content-type"))
        name = _label_name(label_name)
        known = False

        async def decide(loaded: Loaded[Prompt], prompt: Prompt) -> list[Content]:
            nonlocal known
            await check_etag(context(request), loaded)
            known = prompt.set_label(name, data.version)
            return []

        done = await services(request).commands.change(
            await _label_caller(request), Prompt, prompt_name, decide
        )
        async with services(request).pool.connection() as conn:
            found = await labels.at(conn, done.stream_id, name, done.position)
        headers = [(b"x-event-position", b"%d" % found.position)]
        return to_response(json_answer(labels.label_json(found), status=200 if known else 201, extra=headers))

    @delete(
        "/name/{prompt_name:str}/labels/{label_name:str}",
        operation_id="llm_prompts_name_labels_destroy",
        summary="Remove a label",
        status_code=204,
        opt=route(WRITE),
        responses=documented(400, 401, 403, 404, 409, 412, 429, 503),
    )
    async def remove_label(
        self, request: Request[Any, Any, Any], prompt_name: FromPath[str], label_name: FromPath[str]
    ) -> Response[None]:
        """The version stays."""
        name = _label_name(label_name)

        async def decide(loaded: Loaded[Prompt], prompt: Prompt) -> list[Content]:
            await check_etag(context(request), loaded)
            prompt.remove_label(name)
            return []

        done = await services(request).commands.change(
            await _label_caller(request), Prompt, prompt_name, decide, status=204
        )
        return to_response(Answer(204, [(b"x-event-position", b"%d" % done.position)], b""))


def show_of(query: Query) -> Show:
    found = query.choice("content", get_args(Show))
    return cast(Show, found or "full")


def texts_only(query: Query, of_sdks: bool) -> bool:
    """Whether a list has text prompts alone. The SDKs, which fail at any other, are known by the token that they send."""
    asked = query.choice("text_only", BOOLEANS)
    return asked == "true" or (asked is None and of_sdks and "token" in query)


def label_of(query: Query) -> str | None:
    """A label to read by. Raises Invalid when it is too long.

    What no label can be, white space alone too, is looked for as it is: a missing label is never the latest version.
    """
    return query.text("label", max_length=MAX_LABEL, trim=False)


async def _label_caller(request: Request[Any, Any, Any]) -> Caller:
    """Setting and removing a label may be repeated as it is, so an ``Idempotency-Key`` changes nothing."""
    return msgspec.structs.replace(await caller_of(context(request)), idempotency_key=None)


def _label_name(label: str) -> str:
    try:
        return check_label(label)
    except Invalid as error:
        raise error.within("label_name") from None


async def _run(
    request: Request[Any, Any, Any], body: bytes, execute: Callable[[Caller, Commands], Awaitable[Done]]
) -> Response[Any]:
    return to_response(await run(context(request), body, KIND, execute))
