"""``/api/{environments,projects}/{project_id}/v1/skills/…``, for SDKs that have this as their base address."""

from typing import Any

from litestar import Controller, Request, Response, delete, get, post
from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler
from litestar.params import FromPath, RawBody

from api.http import zips
from api.http.context import let_in
from api.http.requests import header_of
from api.http.responses import header
from api.openapi.parameters import Param, route
from api.payload.decode import ignore
from api.payload.decode import read as read_body
from api.sdk import reads, schemas, uploads, writes
from api.sdk.errors import EXCEPTION_HANDLERS, documented
from api.sdk.reads import (
    AFTER_SKILL,
    AFTER_VERSION,
    LIMIT,
    ORDER,
    SOURCE,
    skill_of,
    version_of,
)
from api.sdk.sides import side_of
from api.services import services
from domain.artifacts.skills import Skill

READ, WRITE = f"{Skill.SCOPE}:read", f"{Skill.SCOPE}:write"

ANTHROPIC_VERSION = Param(
    "anthropic-version",
    {"type": "string"},
    "Any value: the answer has the shape of Anthropic. Without it, that of OpenAI.",
    where="header",
)

READS = (400, 401, 403, 404, 429, 503)
WRITES = (400, 401, 403, 404, 409, 413, 415, 422, 429, 503)
DELETES = (400, 401, 403, 404, 409, 413, 415, 429, 503)


async def guard(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
    """As everywhere; older SDKs send the key as ``x-api-key``."""
    scope, credential = connection.scope, None
    if header(scope["headers"], b"authorization") is None:
        key = header(scope["headers"], b"x-api-key")
        credential = None if key is None else b"Bearer " + key
    principal, number = await services(connection).authorizer.enter_project(
        scope, scope["path_params"]["project_id"], handler.opt["scope"], credential
    )
    let_in(connection, principal, number)


class SdkSkillsController(Controller):
    """Every route needs a key with the scope that it names."""

    path = "/v1/skills"
    tags = ("sdk",)
    guards = (guard,)
    exception_handlers = EXCEPTION_HANDLERS

    @post(
        "/",
        operation_id="sdk_skills_create",
        summary="Create a skill from its files",
        status_code=200,
        opt=route(WRITE, query=(ANTHROPIC_VERSION,), form=schemas.CreateSkillForm),
        responses=documented(*WRITES),
    )
    async def create(self, request: Request[Any, Any, Any]) -> Response[schemas.SdkSkill]:
        """Version 1, to which the label `default` points. The name is that of SKILL.md and must be free."""
        done, found = await writes.create(request, await uploads.upload_of(request))
        return writes.written(request, done, side_of(request).skill(found))

    @get(
        "/",
        operation_id="sdk_skills_list",
        summary="List skills by their creation",
        opt=route(READ, query=(ANTHROPIC_VERSION, LIMIT, ORDER, *AFTER_SKILL, SOURCE)),
        responses=documented(*READS),
    )
    async def list(self, request: Request[Any, Any, Any]) -> Response[schemas.SdkSkills]:
        """All active skills of the project, whichever way they came."""
        return reads.answer(request, await reads.page_of_skills(request))

    @get(
        "/{skill_id:str}",
        operation_id="sdk_skills_retrieve",
        summary="Get a skill by its id",
        opt=route(READ, query=(ANTHROPIC_VERSION,)),
        responses=documented(*READS),
    )
    async def retrieve(
        self, request: Request[Any, Any, Any], skill_id: FromPath[str]
    ) -> Response[schemas.SdkSkill]:
        """Its name and description, and which versions are the latest and the default one."""
        return reads.answer(request, side_of(request).skill(await skill_of(request, skill_id)))

    @post(
        "/{skill_id:str}",
        operation_id="sdk_skills_update",
        summary="Set the default version of a skill",
        status_code=200,
        opt=route(WRITE, query=(ANTHROPIC_VERSION,), body=schemas.SetDefault, logged=None),
        responses=documented(*WRITES),
    )
    async def update(
        self, request: Request[Any, Any, Any], skill_id: FromPath[str], body: RawBody
    ) -> Response[schemas.SdkSkill]:
        """Points the label `default` to it."""
        data = await read_body(schemas.SetDefault, body, header_of(request, b"content-type"))
        done, found = await writes.set_default(request, skill_id, data.default_version, body)
        return writes.written(request, done, side_of(request).skill(found))

    @delete(
        "/{skill_id:str}",
        operation_id="sdk_skills_destroy",
        summary="Delete a skill",
        status_code=200,
        opt=route(WRITE, query=(ANTHROPIC_VERSION,)),
        responses=documented(*DELETES),
    )
    async def destroy(
        self, request: Request[Any, Any, Any], skill_id: FromPath[str], body: RawBody
    ) -> Response[schemas.SdkDeletedSkill]:
        """Archives it: it leaves all reads with all its versions, and can be restored by its name."""
        await ignore(body, header_of(request, b"content-type"))
        done = await writes.delete(request, skill_id)
        return writes.written(request, done, side_of(request).deleted_skill(done.stream_id))

    @get(
        "/{skill_id:str}/content",
        operation_id="sdk_skills_content_retrieve",
        summary="Download the default version of a skill",
        opt=route(READ, query=(ANTHROPIC_VERSION,), produces=zips.ZIP.decode()),
        responses=documented(*READS),
    )
    async def content(self, request: Request[Any, Any, Any], skill_id: FromPath[str]) -> Response[bytes]:
        """A zip of SKILL.md and all files in a folder of the skill's name: the bytes of an export."""
        found = await skill_of(request, skill_id)
        return await reads.content(request, found, found.default)

    @post(
        "/{skill_id:str}/versions",
        operation_id="sdk_skills_versions_create",
        summary="Create a version of a skill from its files",
        status_code=200,
        opt=route(WRITE, query=(ANTHROPIC_VERSION,), form=schemas.CreateVersionForm),
        responses=documented(*WRITES),
    )
    async def create_version(
        self, request: Request[Any, Any, Any], skill_id: FromPath[str]
    ) -> Response[schemas.SdkSkillVersion]:
        """The files are all files of the version. SKILL.md has the name of the skill. The label `default` moves with `default=true` alone."""
        upload = await uploads.upload_of(request)
        done, version = await writes.publish(request, skill_id, upload)
        return writes.written(request, done, side_of(request).version(done.stream_id, version))

    @get(
        "/{skill_id:str}/versions",
        operation_id="sdk_skills_versions_list",
        summary="List the versions of a skill",
        opt=route(READ, query=(ANTHROPIC_VERSION, LIMIT, ORDER, *AFTER_VERSION)),
        responses=documented(*READS),
    )
    async def list_versions(
        self, request: Request[Any, Any, Any], skill_id: FromPath[str]
    ) -> Response[schemas.SdkSkillVersions]:
        """By their numbers."""
        found = await skill_of(request, skill_id)
        return reads.answer(request, await reads.page_of_versions(request, found))

    @get(
        "/{skill_id:str}/versions/{skill_version:str}",
        operation_id="sdk_skills_versions_retrieve",
        summary="Get a version of a skill",
        opt=route(READ, query=(ANTHROPIC_VERSION,)),
        responses=documented(*READS),
    )
    async def retrieve_version(
        self, request: Request[Any, Any, Any], skill_id: FromPath[str], skill_version: FromPath[str]
    ) -> Response[schemas.SdkSkillVersion]:
        """By its number or id, or `latest`."""
        found = await skill_of(request, skill_id)
        version = await version_of(request, found, skill_version)
        return reads.answer(request, side_of(request).version(found.id, version))

    @get(
        "/{skill_id:str}/versions/{skill_version:str}/content",
        operation_id="sdk_skills_versions_content_retrieve",
        summary="Download a version of a skill",
        opt=route(READ, query=(ANTHROPIC_VERSION,), produces=zips.ZIP.decode()),
        responses=documented(*READS),
    )
    async def version_content(
        self, request: Request[Any, Any, Any], skill_id: FromPath[str], skill_version: FromPath[str]
    ) -> Response[bytes]:
        """A zip of SKILL.md and all files in a folder of the skill's name: the bytes of an export."""
        found = await skill_of(request, skill_id)
        version = await version_of(request, found, skill_version)
        return await reads.content(request, found, version.number)

    @delete(
        "/{skill_id:str}/versions/{skill_version:str}",
        operation_id="sdk_skills_versions_destroy",
        summary="Delete a version of a skill",
        status_code=200,
        opt=route(WRITE, query=(ANTHROPIC_VERSION,)),
        responses=documented(*DELETES),
    )
    async def destroy_version(
        self,
        request: Request[Any, Any, Any],
        skill_id: FromPath[str],
        skill_version: FromPath[str],
        body: RawBody,
    ) -> Response[schemas.SdkDeletedVersion]:
        """By its number or id. It is yanked: out of what is listed and used, its number never used again; 400 for the last one that is not."""
        await ignore(body, header_of(request, b"content-type"))
        done, version = await writes.withdraw(request, skill_id, skill_version)
        return writes.written(request, done, side_of(request).deleted_version(version))
