"""The prompts API: ``/api/{environments,projects}/{project_id}/llm_prompts/…``."""

from typing import Any, cast, get_args

from litestar import Controller, Request, Response, get, patch, post
from litestar.params import FromPath, RawBody

from api.artifacts import common as artifacts
from api.artifacts.common import PICK, having_label, label_of, pick_of
from api.artifacts.references import past_texts
from api.counting.reads import counted
from api.http import pages
from api.http.context import context
from api.http.errors import documented
from api.http.query import BOOLEANS, Query
from api.http.requests import project_of, query_of
from api.http.responses import to_response
from api.openapi.parameters import Param, route
from api.prompts import schemas
from api.prompts.commands import KIND, create, publish
from api.services import services
from domain.artifacts.prompts import Prompt
from domain.errors import NotFound
from projections.read import prompts
from projections.read.prompts import Show

READ, WRITE = f"{Prompt.SCOPE}:read", f"{Prompt.SCOPE}:write"

CONTENT = Param(
    "content",
    {"type": "string", "enum": list(get_args(Show)), "default": "full"},
    "`full` sends the prompt, `preview` its first 160 characters, `none` neither.",
    "preview",
)
TEXT_ONLY = Param(
    "text_only",
    {"type": "string", "enum": list(BOOLEANS)},
    "`true` leaves out prompts that are no text but a chat or another JSON value. Default: `false`, unless the operator has set "
    "`SKALD_SDK_TEXT_ONLY` and the request has the project's `token`, as those of the SDKs have.",
    "true",
)
RESOLVE = Param(
    "resolve",
    {"type": "string", "enum": list(BOOLEANS), "default": "true"},
    "`false` sends the prompt with its references as they are written.",
    "false",
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
                having_label(KIND),
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
        return to_response(await create(context(request), body))

    @get(
        "/name/{prompt_name:str}",
        operation_id="llm_prompts_name_retrieve",
        summary="Get a prompt",
        opt=route(READ, query=(*PICK, CONTENT, RESOLVE, *artifacts.PAST)),
        responses=documented(400, 401, 403, 404, 410, 429, 503),
    )
    async def retrieve(
        self, request: Request[Any, Any, Any], prompt_name: FromPath[str]
    ) -> Response[schemas.PromptByName]:
        """The latest version, or the one that `version` or `label` names.

        References such as `@@@prompt:name=tone|label=production@@@` are replaced by the texts that they name, which
        `resolved_references` lists then.

        The id of an active version in place of the name is redirected to its name, and so is a name that the prompt had before.
        """
        query, reader, project_id = query_of(request), services(request).reader, project_of(request)
        pick, show = pick_of(query), show_of(query)
        try:
            whole = show == "full" and query.choice("resolve", BOOLEANS) != "false"
            if not whole or artifacts.is_past(query):
                version = await artifacts.version(request, query, KIND, prompt_name, pick)
                label = pick if isinstance(pick, str) else None
                texts = await past_texts(request, query, version) if whole else None
                shown = (
                    prompts.resolved(version, label, texts) if texts else prompts.shown(version, show, label)
                )
                return counted(request, KIND, version, artifacts.picked_answer(request, shown))
            entry = await reader.get(project_id, KIND, prompt_name, pick)
        except NotFound as error:
            return await artifacts.redirect_to_name(request, KIND, prompt_name, error)
        return counted(request, KIND, entry, artifacts.full_answer(request, entry))

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


def show_of(query: Query) -> Show:
    found = query.choice("content", get_args(Show))
    return cast(Show, found or "full")


def texts_only(query: Query, of_sdks: bool) -> bool:
    """Whether a list has text prompts alone. The SDKs, which fail at any other, are known by the token that they send."""
    asked = query.choice("text_only", BOOLEANS)
    return asked == "true" or (asked is None and of_sdks and "token" in query)
