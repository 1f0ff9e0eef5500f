"""What the SDKs change, by the commands of every other door."""

from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import msgspec
from litestar import Request, Response

from api.artifacts.yanks import yank
from api.commands.caller import caller_of
from api.commands.execute import Caller, Commands, Done
from api.commands.repository import Loaded
from api.http.context import context
from api.http.requests import header_of
from api.http.responses import Header, json_answer, to_response
from api.offload import offload
from api.sdk.ids import LATEST, read_version
from api.sdk.reads import KIND, missing_skill, missing_version, skill_of, version_of
from api.sdk.sides import headers_for
from api.sdk.uploads import Upload
from api.services import services
from domain.artifacts.skills import Changes, Skill, SkillFields, values_of
from domain.artifacts.yanks import LastVersion
from domain.content import Content
from domain.errors import Invalid
from domain.formats import incoming
from projections.read import by_id
from projections.read.by_id import DEFAULT, FoundSkill, FoundVersion, description_of
from projections.read.versions import Version
from store.ids import new_id

REASON = "Deleted over /v1/skills."

Command = Callable[[Caller, Commands], Awaitable[Done]]


async def run(
    request: Request[Any, Any, Any], command: Command, identity: Callable[[], bytes] = lambda: b""
) -> Done:
    """Execute the command, or find what an earlier request with the same key did. ``identity``: of the body, of a request with a key."""
    keyed = header_of(request, b"idempotency-key") is not None
    caller = await caller_of(context(request), await offload(identity) if keyed else b"")
    commands = services(request).commands
    async with commands.once(caller) as before:
        return before or await command(caller, commands)


def written(request: Request[Any, Any, Any], done: Done, shown: msgspec.Struct) -> Response[Any]:
    """The answer to a change."""
    headers: list[Header] = [(b"x-event-position", b"%d" % done.position), *headers_for(request)]
    if done.replayed:
        headers.append((b"idempotent-replayed", b"true"))
    return to_response(json_answer(msgspec.json.encode(shown), extra=headers))


async def create(request: Request[Any, Any, Any], upload: Upload) -> tuple[Done, FoundSkill]:
    """Version 1 of a new skill, to which the label points. Raises NameTaken, PermissionDenied where the label is protected."""

    async def command(caller: Caller, commands: Commands) -> Done:
        skill, contents = await offload(_new, upload)
        return await commands.create(caller, skill, contents, attr="files")

    done = await run(request, command, upload.identity)
    return done, _skill(done, upload.display_name, default=1)


def _new(upload: Upload) -> tuple[Skill, list[Content]]:
    document = upload.document
    skill, contents = Skill.create(
        id=new_id(),
        version_id=new_id(),
        name=document.name,
        fields=SkillFields(*values_of(document)),
        body=document.body,
        files=incoming.files_of(upload.skill, {}),
        display_name=upload.display_name,
    )
    skill.set_label(DEFAULT, skill.number)
    return skill, contents


async def publish(
    request: Request[Any, Any, Any], skill_id: str, upload: Upload
) -> tuple[Done, FoundVersion]:
    """The next version, also where nothing would change. Raises Invalid when it has another name, NotFound, PermissionDenied."""
    reader = services(request).reader

    async def command(caller: Caller, commands: Commands) -> Done:
        # Looked up here: a request that was done already gets its answer again, whatever has become of the skill.
        of = await skill_of(request, skill_id)

        async def decide(loaded: Loaded[Skill], skill: Skill) -> list[Content]:
            _check_same(skill, of.id)
            if upload.document.name != skill.name:
                raise Invalid(
                    f"SKILL.md says '{upload.document.name}', but this skill is named '{skill.name}': every version has its name.",
                    code="other_name",
                    attr="files",
                )
            stored = {file.sha256 for file in skill.files.values()}
            body = await reader.content(skill.body.digest)
            changes = await offload(incoming.changes_of, upload.skill, skill, body) or Changes()
            contents = await offload(
                lambda: skill.publish(changes, version_id=new_id(), base_version=skill.number, texts={})
            )
            if upload.default:
                skill.set_label(DEFAULT, skill.number)
            return [content for content in contents if content.ref.sha256 not in stored]

        return await commands.change(caller, Skill, of.name, decide)

    done = await run(request, command, upload.identity)
    return done, _found(done)


async def set_default(
    request: Request[Any, Any, Any], skill_id: str, wanted: str, body: bytes
) -> tuple[Done, FoundSkill]:
    """Point the label to the version that is named. Raises NotFound, VersionNotFound, PermissionDenied."""

    async def command(caller: Caller, commands: Commands) -> Done:
        # Looked up here, as in ``publish``.
        of = await skill_of(request, skill_id)
        number = (await version_of(request, of, wanted)).number

        async def decide(loaded: Loaded[Skill], skill: Skill) -> list[Content]:
            _check_same(skill, of.id)
            skill.set_label(DEFAULT, number)
            return []

        # What is asked of a protected label is asked where it would not move, too.
        await commands.check_direct(caller, Skill, DEFAULT)
        return await commands.change(caller, Skill, of.name, decide)

    done = await services(request).commands.unchanged(await run(request, command, lambda: body))
    version = _version_of(done)
    async with services(request).pool.connection() as conn:
        shown = await by_id.display_name(conn, done.stream_id)
        number = await by_id.number(conn, done.stream_id, read_version(wanted) or version.number)
    return done, _skill(done, shown, default=number)


async def delete(request: Request[Any, Any, Any], skill_id: str) -> Done:
    """Archive it. Raises NotFound, PermissionDenied where one of its labels is protected."""

    async def command(caller: Caller, commands: Commands) -> Done:
        of = await skill_of(request, skill_id)

        async def decide(loaded: Loaded[Skill], skill: Skill) -> list[Content]:
            _check_same(skill, of.id)
            skill.archive()
            return []

        return await commands.change(caller, Skill, of.name, decide)

    return await run(request, command)


async def withdraw(request: Request[Any, Any, Any], skill_id: str, version: str) -> tuple[Done, FoundVersion]:
    """Yank a version. Raises Invalid where no other would be left, NotFound, PermissionDenied where a protected label points to it."""

    async def command(caller: Caller, commands: Commands) -> Done:
        of = await skill_of(request, skill_id)
        if version == LATEST:
            # Which one that is may change before the request is here.
            raise missing_version(of, version)
        number = (await version_of(request, of, version)).number
        return await yank(context(request), Skill, of.name, number, REASON, id=of.id)(caller, commands)

    try:
        done = await run(request, command)
    except LastVersion as error:
        raise Invalid(error.detail, code=error.code) from None
    return done, _found(done)


def _check_same(skill: Skill, id: UUID) -> None:
    """Raises NotFound when the name is held by another skill since the id was looked up."""
    if skill.id != id:
        raise missing_skill(id)


def _skill(done: Done, display_name: str, *, default: int) -> FoundSkill:
    version = _version_of(done)
    return FoundSkill(
        id=done.stream_id,
        name=version.name,
        display_name=display_name or version.name,
        description=description_of(version.details),
        position=version.position,
        created_at=version.first_at,
        default=default,
        latest=version.number,
        latest_id=version.id,
        latest_at=version.created_at,
    )


def _found(done: Done) -> FoundVersion:
    version = _version_of(done)
    description = description_of(version.details)
    return FoundVersion(version.number, version.id, version.created_at, version.name, description)


def _version_of(done: Done) -> Version:
    assert done.version is not None, KIND
    return done.version
