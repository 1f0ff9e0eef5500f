"""History, comparison and the way back of prompts; what both kinds do is in ``api.artifacts.history``."""

from typing import Any

from litestar import Controller, Request, Response, get, post
from litestar.params import FromPath, RawBody

from api.artifacts import common as artifacts
from api.artifacts import comparing
from api.artifacts import schemas as schemas_history
from api.artifacts.common import run
from api.artifacts.history import (
    HISTORY,
    PAGE,
    PROMPT_DIFF,
    READS,
    RESTORES,
    REVERTS,
    archived_json,
    archived_page,
    history_answer,
    old_state,
    restore_answer,
    revert_of,
)
from api.commands.caller import caller_of
from api.commands.repository import Loaded
from api.http import pages
from api.http.errors import documented
from api.http.requests import query_of
from api.openapi.parameters import route
from api.prompts import schemas
from api.prompts import schemas as prompt_schemas
from api.prompts.controller import CONTENT, show_of
from domain.content import Content
from domain.prompts import Prompt
from projections.read import prompts
from projections.read.kinds import KINDS
from store.ids import new_id

PROMPT = KINDS[Prompt.KIND]


class PromptHistoryController(Controller):
    """Every route needs a key with the scope that it names."""

    path = f"/{Prompt.RESOURCE}"
    tags = ("history",)
    guards = (artifacts.guard,)

    @get(
        "/name/{prompt_name:str}/history",
        operation_id="llm_prompts_name_history_list",
        summary="Tell what happened to a prompt",
        opt=route("llm_prompt:read", query=HISTORY),
        responses=documented(*READS),
    )
    async def history(
        self, request: Request[Any, Any, Any], prompt_name: FromPath[str]
    ) -> Response[schemas_history.HistoryPage]:
        """Every event of the name, newest first, moves of labels included."""
        return await history_answer(request, PROMPT, prompt_name)

    @get(
        "/name/{prompt_name:str}/diff",
        operation_id="llm_prompts_name_diff_retrieve",
        summary="Compare two versions of a prompt",
        opt=route("llm_prompt:read", query=PROMPT_DIFF, media=(comparing.MEDIA_TYPE,)),
        responses=documented(*READS),
    )
    async def diff(
        self, request: Request[Any, Any, Any], prompt_name: FromPath[str]
    ) -> Response[schemas_history.PromptDiff]:
        """Configuration, description and text, with unified hunks; what is no text is compared as indented JSON.

        A prompt over 200,000 bytes or 10,000 lines has no hunks and says `truncated`.
        """
        return await comparing.diff_answer(request, PROMPT, prompt_name)

    @get(
        "/name/{prompt_name:str}/blame",
        operation_id="llm_prompts_name_blame_retrieve",
        summary="Tell which version brought each line of a prompt",
        opt=route("llm_prompt:read", query=(artifacts.VERSION,)),
        responses=documented(*READS),
    )
    async def blame(
        self, request: Request[Any, Any, Any], prompt_name: FromPath[str]
    ) -> Response[schemas_history.BlameAnswer]:
        """Of the text, or of the indented JSON of any other value; 1,000 changes or 20 MB of texts back.

        Older lines are given to the oldest version that was looked at (`complete` is false then). A prompt over 200,000
        bytes or 10,000 lines is `truncated`: it has no lines.
        """
        return await comparing.blame_answer(request, PROMPT, prompt_name)

    @post(
        "/name/{prompt_name:str}/revert",
        operation_id="llm_prompts_name_revert_create",
        summary="Go back to an earlier version of a prompt",
        status_code=200,
        opt=route("llm_prompt:write", body=schemas_history.Revert),
        responses=documented(*REVERTS),
    )
    async def revert(
        self, request: Request[Any, Any, Any], prompt_name: FromPath[str], body: RawBody
    ) -> Response[prompt_schemas.PromptAnswer]:
        """A new version with the prompt and config of `version`. `base_version` is required, or `If-Match`."""

        async def decide(loaded: Loaded[Prompt], prompt: Prompt) -> list[Content]:
            old = await old_state(request, loaded, base, data.version)
            prompt.revert(old, version_id=new_id(), base_version=base)
            return []

        data, base = await revert_of(request, body)
        caller = await caller_of(request, body)
        return await run(
            request,
            caller,
            Prompt.KIND,
            lambda commands: commands.change(caller, Prompt, prompt_name, decide),
        )

    @post(
        "/name/{prompt_name:str}/restore",
        operation_id="llm_prompts_name_restore_create",
        summary="Bring an archived prompt back",
        status_code=200,
        opt=route("llm_prompt:write", body=schemas_history.Restore),
        responses=documented(*RESTORES),
    )
    async def restore(
        self, request: Request[Any, Any, Any], prompt_name: FromPath[str], body: RawBody
    ) -> Response[prompt_schemas.PromptAnswer]:
        """With all its versions, without labels; 400 `unique` while the name is taken, 404 when there is nothing."""
        return await restore_answer(request, PROMPT, prompt_name, body)

    @get(
        "/archived",
        operation_id="llm_prompts_archived_list",
        summary="List archived prompts",
        opt=route("llm_prompt:read", query=(CONTENT, *PAGE)),
        responses=documented(*READS),
    )
    async def archived(self, request: Request[Any, Any, Any]) -> Response[schemas.ArchivedPromptPage]:
        """Every archived life that can come back, the last archived first; `id` names it to restore."""
        show = show_of(query_of(request))
        count, rows, links = await archived_page(request, Prompt.KIND, with_body=show == "full")

        def shown() -> bytes:
            found = [archived_json(prompts.row(one.row, show, None, deleted=True), one) for one in rows]
            return pages.page_json(count, links, found)

        return await artifacts.large_answer(request, sum(one.row.size for one in rows), shown)
