"""The skills API: ``/api/{environments,projects}/{project_id}/llm_skills/…``."""

import re
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import unquote

from litestar import Controller, Request, Response, delete, get, patch, post
from litestar.params import FromPath, RawBody

from api.artifacts import common as artifacts
from api.artifacts.common import (
    PICK,
    base_version,
    check_etag,
    having_label,
    label_of,
    pick_of,
    run,
    version_number,
)
from api.artifacts.marks import NONE, marks_of
from api.commands.execute import Caller, Commands, Done
from api.commands.repository import Loaded
from api.counting.reads import counted
from api.http import pages, requests
from api.http.context import context
from api.http.errors import documented
from api.http.requests import header_of, project_of, query_of
from api.http.responses import to_response, yanked
from api.http.texts import text_answer
from api.offload import heavy
from api.openapi.parameters import Param, integer, route
from api.payload.decode import read
from api.services import services
from api.skills import schemas
from api.skills.commands import KIND, check_file_etag, file_json, new_skill, publish, renaming
from domain.artifacts.skills import File, Skill
from domain.content import Content, normal_path
from domain.errors import Invalid, NotFound
from projections.read import skills, versions
from projections.read.packages import package_of
from store.ids import new_id

MARKDOWN = "text/markdown"

READ, WRITE = f"{Skill.SCOPE}:read", f"{Skill.SCOPE}:write"

# /api/environments/1/llm_skills/name/x/files/: counted, because a name and a path may hold "files" too.
BEFORE_FILE = re.compile(r"(?:/+[^/]+){7}/")

SEARCH = Param("search", {"type": "string"}, "Part of the name or description, in any case.", "pdf")
CATEGORY = Param(
    "category", {"type": "string"}, "Only skills of this category: none, because no categories are kept."
)
BODY_OFFSET = Param("body_offset", integer(0), "Where the part of the body begins, in characters.", 0)
BODY_LENGTH = Param("body_length", integer(1), "How many characters of the body to send.", 4000)
BASE_VERSION = Param("base_version", integer(1), "Refuse with 409 unless this is the latest version.", 1)


class SkillsController(Controller):
    """Every route needs a key with the scope that it names."""

    path = f"/{Skill.RESOURCE}"
    tags = ("skills",)
    guards = (artifacts.guard,)

    @get(
        "/",
        operation_id="llm_skills_list",
        summary="List skills",
        opt=route(
            READ,
            query=(
                SEARCH,
                CATEGORY,
                having_label(KIND),
                *artifacts.NARROWED,
                artifacts.ORDER,
                artifacts.LIMIT,
                artifacts.OFFSET,
                *artifacts.PAST,
            ),
        ),
        responses=documented(400, 401, 403, 404, 429, 503),
    )
    async def list(self, request: Request[Any, Any, Any]) -> Response[schemas.SkillPage]:
        """The latest versions of all active skills of the project, or those that a label points to, without body and files."""
        query = query_of(request)
        category, label = query.text("category"), label_of(query)
        count, rows, links = await artifacts.page(
            request, query, KIND, label=label, nothing=category is not None
        )
        return await artifacts.large_answer(
            request,
            sum(row.size for row in rows),
            lambda: pages.page_json(count, links, [skills.row(row, label) for row in rows]),
        )

    @post(
        "/",
        operation_id="llm_skills_create",
        summary="Create a skill",
        opt=route(WRITE, body=schemas.CreateSkill),
        responses=documented(400, 401, 403, 404, 409, 413, 415, 422, 429, 503),
    )
    async def create(self, request: Request[Any, Any, Any], body: RawBody) -> Response[schemas.SkillAnswer]:
        """Version 1 of a new skill."""
        data = await read(schemas.CreateSkill, body, header_of(request, b"content-type"))
        marks = await marks_of(context(request), data)
        skill, contents = await heavy(len(body), lambda: new_skill(data, marks))
        return await _run(request, body, lambda caller, commands: commands.create(caller, skill, contents))

    @get(
        "/name/{skill_name:str}",
        operation_id="llm_skills_name_retrieve",
        summary="Get a skill",
        opt=route(READ, query=(*PICK, BODY_OFFSET, BODY_LENGTH, *artifacts.PAST)),
        responses=documented(400, 401, 403, 404, 410, 429, 503),
    )
    async def retrieve(
        self, request: Request[Any, Any, Any], skill_name: FromPath[str]
    ) -> Response[schemas.SkillAnswer]:
        """The latest version, or the one that `version` or `label` names, with its body and the manifest of its files.

        The id of an active version in place of the name is redirected to its name, and so is a name that the skill had before.
        """
        query, reader, project_id = query_of(request), services(request).reader, project_of(request)
        pick = pick_of(query)
        try:
            if "body_offset" in query or "body_length" in query:
                part = (
                    query.integer("body_offset", minimum=0, cut=True),
                    query.integer("body_length", minimum=1, cut=True),
                )
                version = await artifacts.version(request, query, KIND, skill_name, pick)
                shown = versions.read_by(skills.paged(version, part[0] or 0, part[1]), pick)
                return counted(request, KIND, version, artifacts.picked_answer(request, shown))
            if artifacts.is_past(query):
                version = await artifacts.version(request, query, KIND, skill_name, pick)
                shown = versions.read_by(skills.full(version), pick)
                return counted(request, KIND, version, artifacts.picked_answer(request, shown))
            entry = await reader.get(project_id, KIND, skill_name, pick)
        except NotFound as error:
            return await artifacts.redirect_to_name(request, KIND, skill_name, error)
        return counted(request, KIND, entry, artifacts.full_answer(request, entry))

    @patch(
        "/name/{skill_name:str}",
        operation_id="llm_skills_name_partial_update",
        summary="Publish a new version of a skill",
        opt=route(WRITE, body=schemas.PublishSkill),
        responses=documented(400, 401, 403, 404, 409, 412, 413, 415, 422, 429, 503),
    )
    async def publish(
        self, request: Request[Any, Any, Any], skill_name: FromPath[str], body: RawBody
    ) -> Response[schemas.SkillAnswer]:
        """`base_version` must be the latest version; `If-Match` with its entity tag says the same."""
        return to_response(await publish(context(request), skill_name, body))

    @post(
        "/name/{skill_name:str}/files",
        operation_id="llm_skills_name_files_create",
        summary="Add a file",
        opt=route(WRITE, body=schemas.AddFile),
        responses=documented(400, 401, 403, 404, 409, 412, 413, 415, 422, 429, 503),
    )
    async def add_file(
        self, request: Request[Any, Any, Any], skill_name: FromPath[str], body: RawBody
    ) -> Response[schemas.SkillAnswer]:
        """A new version with one more file."""
        data = await read(schemas.AddFile, body, header_of(request, b"content-type"))
        base = base_version(context(request), data.base_version)
        file = File(data.path, schemas.bytes_of(data), data.content_type)

        async def decide(loaded: Loaded[Skill], skill: Skill) -> list[Content]:
            await check_etag(context(request), loaded)
            return await heavy(
                len(body), lambda: skill.add_file(file, version_id=new_id(), base_version=base)
            )

        return await _run(
            request,
            body,
            lambda caller, commands: commands.change(caller, Skill, skill_name, decide, status=201),
        )

    @post(
        "/name/{skill_name:str}/files-rename",
        operation_id="llm_skills_name_files_rename_create",
        summary="Rename a file",
        status_code=200,
        opt=route(WRITE, body=schemas.RenameFile),
        responses=documented(400, 401, 403, 404, 409, 412, 413, 415, 422, 429, 503),
    )
    async def rename_file(
        self, request: Request[Any, Any, Any], skill_name: FromPath[str], body: RawBody
    ) -> Response[schemas.SkillAnswer]:
        """A new version with one file at another path."""
        data = await read(schemas.RenameFile, body, header_of(request, b"content-type"))
        base = base_version(context(request), data.base_version)

        return await _run(
            request, body, renaming(context(request), skill_name, data.old_path, data.new_path, NONE, base)
        )

    @get(
        "/name/{skill_name:str}/files/{file_path:path}",
        operation_id="llm_skills_name_files_retrieve",
        summary="Get a file",
        opt=route(READ, query=(*PICK, *artifacts.PAST), yanks=True),
        responses=documented(400, 401, 403, 404, 410, 429, 503),
    )
    async def retrieve_file(
        self, request: Request[Any, Any, Any], skill_name: FromPath[str], file_path: FromPath[str]
    ) -> Response[schemas.FileAnswer]:
        """The content of one file of the latest version, or of the one that `version` or `label` names."""
        query = query_of(request)
        pick, path = pick_of(query), _file_path(request)
        version = await artifacts.version(request, query, KIND, skill_name, pick)
        shown = await file_json(services(request).reader, version, path)
        return counted(request, KIND, version, artifacts.file_answer(request, query, version, shown))

    @delete(
        "/name/{skill_name:str}/files/{file_path:path}",
        operation_id="llm_skills_name_files_destroy",
        summary="Delete a file",
        status_code=200,
        opt=route(WRITE, query=(BASE_VERSION,)),
        responses=documented(400, 401, 403, 404, 409, 412, 429, 503),
    )
    async def remove_file(
        self, request: Request[Any, Any, Any], skill_name: FromPath[str], file_path: FromPath[str]
    ) -> Response[schemas.SkillAnswer]:
        """A new version without this file."""
        base = version_number(query_of(request), "base_version")
        path = _file_path(request)

        async def decide(loaded: Loaded[Skill], skill: Skill) -> list[Content]:
            await check_file_etag(context(request), loaded, path)
            skill.remove_file(path, version_id=new_id(), base_version=base)
            return []

        return await _run(
            request, b"", lambda caller, commands: commands.change(caller, Skill, skill_name, decide)
        )

    @get(
        "/name/{skill_name:str}/skill-md",
        operation_id="llm_skills_name_skill_md_retrieve",
        summary="Get SKILL.md",
        opt=route(READ, query=(*PICK, *artifacts.PAST), produces=f"{MARKDOWN}; charset=utf-8", yanks=True),
        responses=documented(400, 401, 403, 404, 410, 429, 503),
    )
    async def retrieve_skill_md(
        self, request: Request[Any, Any, Any], skill_name: FromPath[str]
    ) -> Response[str]:
        """SKILL.md of the latest version, or of the one that `version` or `label` names: the fields as frontmatter, then the body.

        These are the bytes that `skill_md` of the skill describes, and that every way to install the skill serves.
        """
        query = query_of(request)
        version = await artifacts.version(request, query, KIND, skill_name, pick_of(query))
        answer = text_answer(request, package_of(version).document, MARKDOWN, extra=yanked(version))
        return counted(request, KIND, version, answer)


async def _run(
    request: Request[Any, Any, Any], body: bytes, execute: Callable[[Caller, Commands], Awaitable[Done]]
) -> Response[Any]:
    return to_response(await run(context(request), body, KIND, execute))


def _file_path(request: Request[Any, Any, Any]) -> str:
    """The path behind ``files/``, decoded once and brought into its normal form. Raises Invalid."""
    path = unquote(requests.request_path(request), errors="replace")
    path = BEFORE_FILE.sub("", path, count=1).removesuffix("/")
    if "\0" in path:
        raise Invalid(
            "Null characters are not allowed.", code="null_characters_not_allowed", attr="file_path"
        )
    try:
        return normal_path(path)
    except Invalid as error:
        raise error.within("file_path") from None
