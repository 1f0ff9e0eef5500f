"""History, comparison and the way back of skills; what both kinds do is in ``api.artifacts.history``."""

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
    READS,
    RESTORES,
    REVERTS,
    SKILL_DIFF,
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
from api.openapi.parameters import route
from api.skills import schemas
from api.skills import schemas as skill_schemas
from domain.content import Content
from domain.skills import Skill
from projections.read import skills
from projections.read.kinds import KINDS
from store.ids import new_id

SKILL = KINDS[Skill.KIND]


class SkillHistoryController(Controller):
    """Every route needs a key with the scope that it names."""

    path = f"/{Skill.RESOURCE}"
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
    ) -> Response[skill_schemas.SkillAnswer]:
        """A new version that is equal to `version`, files included. `base_version` is required, or `If-Match`."""

        async def decide(loaded: Loaded[Skill], skill: Skill) -> list[Content]:
            old = await old_state(request, loaded, base, data.version)
            skill.revert(old, version_id=new_id(), base_version=base)
            return []

        data, base = await revert_of(request, body)
        caller = await caller_of(request, body)
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
    ) -> Response[skill_schemas.SkillAnswer]:
        """With all its versions; 400 `unique` while the name is taken, 404 when there is nothing to restore."""
        return await restore_answer(request, SKILL, skill_name, body)

    @get(
        "/archived",
        operation_id="llm_skills_archived_list",
        summary="List archived skills",
        opt=route("llm_skill:read", query=PAGE),
        responses=documented(*READS),
    )
    async def archived(self, request: Request[Any, Any, Any]) -> Response[schemas.ArchivedSkillPage]:
        """Every archived life that can come back, the last archived first; `id` names it to restore."""
        count, rows, links = await archived_page(request, Skill.KIND, with_body=False)

        def shown() -> bytes:
            found = [archived_json(skills.row(one.row, deleted=True), one) for one in rows]
            return pages.page_json(count, links, found)

        return await artifacts.large_answer(request, sum(one.row.size for one in rows), shown)
