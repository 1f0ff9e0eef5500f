"""What happened to a name, and the way back: history, diff, blame, revert, restore and the list of archived lives.

Skills and prompts differ in their addresses and answers only; the functions below the controllers serve both.
"""

from typing import Any
from uuid import UUID

import msgspec
from litestar import Controller, Request, Response, get, post
from litestar.params import FromPath, RawBody

from api import artifacts, comparing, schemas, schemas_history
from api.artifacts import base_version, caller_of, header_of, project_of, query_of, run, services
from api.comparing import PROMPT, SKILL, Subject
from api.documentation import Param, route
from api.errors import documented
from api.payload import read
from api.prompts import CONTENT, show_of
from api.reader import unknown
from api.repository import Loaded
from domain.content import Content
from domain.errors import VersionNotFound
from domain.prompts import Prompt
from domain.skills import Skill
from projections import history, names, prompts, skills
from projections.encoding import etag_of
from projections.history import ArchivedRow
from projections.states import at_number
from store.ids import new_id

INCLUDE_ARCHIVED = Param(
    "include_archived",
    {"type": "string", "enum": ["true", "false"], "default": "false"},
    "Whether earlier lives of the name are told, too.",
    "true",
)
HISTORY = (INCLUDE_ARCHIVED, artifacts.LIMIT, artifacts.OFFSET)
SKILL_DIFF = (comparing.FROM, comparing.TO, comparing.FORMAT, comparing.PATH)
PROMPT_DIFF = (comparing.FROM, comparing.TO, comparing.FORMAT)
PAGE = (artifacts.LIMIT, artifacts.OFFSET)

READS = (400, 401, 403, 404, 429, 503)
REVERTS = (400, 401, 403, 404, 409, 412, 413, 415, 422, 429, 503)
RESTORES = (400, 401, 403, 404, 409, 413, 415, 422, 429, 503)


class SkillHistoryController(Controller):
    """Every route needs a key with the scope that it names."""

    path = "/llm_skills"
    tags = ("history",)
    guards = (artifacts.guard,)

    @get(
        "/name/{skill_name:str}/history",
        operation_id="llm_skills_name_history_list",
        summary="Tell what happened to a skill",
        opt=route("llm_skill:read", query=HISTORY),
        responses=documented(*READS),
    )
    async def history(
        self, request: Request[Any, Any, Any], skill_name: FromPath[str]
    ) -> Response[schemas_history.HistoryPage]:
        """Every event of the name, newest first: who did what when, and what changed by it."""
        return await history_answer(request, SKILL, skill_name)

    @get(
        "/name/{skill_name:str}/diff",
        operation_id="llm_skills_name_diff_retrieve",
        summary="Compare two versions of a skill",
        opt=route("llm_skill:read", query=SKILL_DIFF, media=(comparing.MEDIA_TYPE,)),
        responses=documented(*READS),
    )
    async def diff(
        self, request: Request[Any, Any, Any], skill_name: FromPath[str]
    ) -> Response[schemas_history.SkillDiff]:
        """Fields, metadata keys, body and files, with unified hunks; renamed files as the events say.

        A text over 200,000 bytes or 10,000 lines has no hunks and says `truncated`, and so has what comes after 2 MB.
        """
        return await comparing.diff_answer(request, SKILL, skill_name)

    @get(
        "/name/{skill_name:str}/blame",
        operation_id="llm_skills_name_blame_retrieve",
        summary="Tell which version brought each line of a skill",
        opt=route("llm_skill:read", query=(comparing.BLAME_PATH, artifacts.VERSION)),
        responses=documented(*READS),
    )
    async def blame(
        self, request: Request[Any, Any, Any], skill_name: FromPath[str]
    ) -> Response[schemas_history.BlameAnswer]:
        """Of the body or of the file at `path`, through its renames; 1,000 changes or 20 MB of texts back.

        Older lines are given to the oldest version that was looked at (`complete` is false then). A text over 200,000
        bytes or 10,000 lines is `truncated`: it has no lines.
        """
        return await comparing.blame_answer(request, SKILL, skill_name)

    @post(
        "/name/{skill_name:str}/revert",
        operation_id="llm_skills_name_revert_create",
        summary="Go back to an earlier version of a skill",
        status_code=200,
        opt=route("llm_skill:write", body=schemas_history.Revert),
        responses=documented(*REVERTS),
    )
    async def revert(
        self, request: Request[Any, Any, Any], skill_name: FromPath[str], body: RawBody
    ) -> Response[schemas.SkillAnswer]:
        """A new version that is equal to `version`, files included. `base_version` is required, or `If-Match`."""

        async def decide(loaded: Loaded[Skill], skill: Skill) -> list[Content]:
            old = await old_state(request, loaded, base, data.version)
            skill.revert(old, version_id=new_id(), base_version=base)
            return []

        data, base = await revert_of(request, body)
        caller = caller_of(request, body)
        return await run(
            request, caller, Skill.KIND, lambda commands: commands.change(caller, Skill, skill_name, decide)
        )

    @post(
        "/name/{skill_name:str}/restore",
        operation_id="llm_skills_name_restore_create",
        summary="Bring an archived skill back",
        status_code=200,
        opt=route("llm_skill:write", body=schemas_history.Restore),
        responses=documented(*RESTORES),
    )
    async def restore(
        self, request: Request[Any, Any, Any], skill_name: FromPath[str], body: RawBody
    ) -> Response[schemas.SkillAnswer]:
        """With all its versions; 400 `unique` while the name is taken, 404 when there is nothing to restore."""
        return await restore_answer(request, SKILL, skill_name, body)

    @get(
        "/archived",
        operation_id="llm_skills_archived_list",
        summary="List archived skills",
        opt=route("llm_skill:read", query=PAGE),
        responses=documented(*READS),
    )
    async def archived(self, request: Request[Any, Any, Any]) -> Response[schemas_history.ArchivedSkillPage]:
        """Every archived life that can come back, the last archived first; `id` names it to restore."""
        count, rows, links = await archived_page(request, Skill.KIND, with_body=False)

        def shown() -> bytes:
            found = [archived_json(skills.row(one.row, deleted=True), one) for one in rows]
            return artifacts.page_json(count, links, found)

        return await artifacts.large_answer(request, sum(one.row.size for one in rows), shown)


class PromptHistoryController(Controller):
    """Every route needs a key with the scope that it names."""

    path = "/llm_prompts"
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
    ) -> Response[schemas.PromptAnswer]:
        """A new version with the prompt and config of `version`. `base_version` is required, or `If-Match`."""

        async def decide(loaded: Loaded[Prompt], prompt: Prompt) -> list[Content]:
            old = await old_state(request, loaded, base, data.version)
            prompt.revert(old, version_id=new_id(), base_version=base)
            return []

        data, base = await revert_of(request, body)
        caller = caller_of(request, body)
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
    ) -> Response[schemas.PromptAnswer]:
        """With all its versions, without labels; 400 `unique` while the name is taken, 404 when there is nothing."""
        return await restore_answer(request, PROMPT, prompt_name, body)

    @get(
        "/archived",
        operation_id="llm_prompts_archived_list",
        summary="List archived prompts",
        opt=route("llm_prompt:read", query=(CONTENT, *PAGE)),
        responses=documented(*READS),
    )
    async def archived(self, request: Request[Any, Any, Any]) -> Response[schemas_history.ArchivedPromptPage]:
        """Every archived life that can come back, the last archived first; `id` names it to restore."""
        show = show_of(query_of(request))
        count, rows, links = await archived_page(request, Prompt.KIND, with_body=show == "full")

        def shown() -> bytes:
            found = [archived_json(prompts.row(one.row, show, None, deleted=True), one) for one in rows]
            return artifacts.page_json(count, links, found)

        return await artifacts.large_answer(request, sum(one.row.size for one in rows), shown)


async def history_answer(request: Request[Any, Any, Any], subject: Subject, name: str) -> Response[Any]:
    """Raises Invalid, and NotFound for a name that nothing holds (with ``include_archived``: nothing ever held)."""
    query, project_id = query_of(request), project_of(request)
    archived = query.choice("include_archived", ("true", "false")) == "true"
    limit, offset = artifacts.page_bounds(query)
    async with request.app.state.pool.connection() as conn:
        streams = await history.lives(conn, project_id, subject.kind, name, archived=archived)
        if not streams:
            close = await names.close_names(conn, project_id, subject.kind, name)
            raise unknown(subject.kind, name, close)
        count, rows = await history.page(conn, project_id, subject.kind, streams, limit=limit, offset=offset)
    links = artifacts.page_links(request, query, count, limit, offset, len(rows))
    size = sum(map(len, rows))
    return await artifacts.large_answer(request, size, lambda: artifacts.page_json(count, links, rows))


async def revert_of(
    request: Request[Any, Any, Any], body: bytes
) -> tuple[schemas_history.Revert, int | None]:
    """The request and the version that it starts from. Raises Invalid."""
    data = await read(schemas_history.Revert, body, header_of(request, b"content-type"))
    return data, base_version(request, data.base_version, required=True)


async def old_state(
    request: Request[Any, Any, Any], loaded: Loaded[Any], base: int | None, number: int
) -> Any:
    """The state of an earlier version. Raises PreconditionFailed, VersionConflict, VersionNotFound."""
    current = loaded.aggregate
    if artifacts.conditional(request):
        reader = services(request)[0]
        version = await reader.version(project_of(request), current.KIND, current.name)
        shown = await reader.get(project_of(request), current.KIND, current.name)
        artifacts.check_if_match(request, shown.etag, etag_of(reader.render_write(current.KIND, version)))
    current.check_base(base)
    if number > current.number:
        newest = range(current.number, max(current.number - 20, 0), -1)
        raise VersionNotFound(current.KIND, current.name, number, newest)
    async with request.app.state.pool.connection() as conn:
        return await at_number(conn, type(current), current.id, number)


async def restore_answer(
    request: Request[Any, Any, Any], subject: Subject, name: str, body: bytes
) -> Response[Any]:
    """Raises Invalid, NameTaken, NotFound."""
    data = await read(schemas_history.Restore, body, header_of(request, b"content-type"))
    id = None if data.id is msgspec.UNSET else UUID(data.id)
    caller = caller_of(request, body)
    return await run(
        request,
        caller,
        subject.kind,
        lambda commands: commands.restore(caller, subject.cls, name, id),
    )


async def archived_page(
    request: Request[Any, Any, Any], kind: str, *, with_body: bool
) -> tuple[int, list[ArchivedRow], tuple[str | None, str | None]]:
    query = query_of(request)
    limit, offset = artifacts.page_bounds(query)
    async with request.app.state.pool.connection() as conn:
        count, rows = await history.archived(
            conn, project_of(request), kind, limit=limit, offset=offset, with_body=with_body
        )
    return count, rows, artifacts.page_links(request, query, count, limit, offset, len(rows))


def archived_json(row: bytes, one: ArchivedRow) -> bytes:
    """A row of a list with the end of its life."""
    taken = b"true" if one.name_taken else b"false"
    end = f',"archived_at":"{one.archived_at}","archived_by":'.encode()
    return b"".join((row[:-1], end, one.archived_by, b',"name_taken":', taken, b"}"))
