"""Skills as archives: import and export, ``…/llm_skills/import/`` and ``…/llm_skills/name/{name}/export/``."""

from collections.abc import Mapping
from hashlib import sha256
from typing import Any, Literal

import msgspec
from litestar import Controller, Request, Response, get, post
from litestar.openapi import ResponseSpec
from litestar.params import FromPath

from api.artifacts import common as artifacts
from api.artifacts.common import PICK, pick_of, version_number
from api.artifacts.downloads import zip_answer
from api.commands.caller import caller_of
from api.commands.execute import Caller, Done
from api.commands.repository import Loaded
from api.counting.doors import ZIP
from api.counting.reads import counted
from api.http import conditional, zips
from api.http.context import context
from api.http.errors import UnsupportedMediaType, documented
from api.http.query import BOOLEANS, Query
from api.http.requests import header_of, query_of
from api.http.responses import (
    Header,
    json_answer,
    to_response,
)
from api.offload import offload
from api.openapi.parameters import Param, integer, route
from api.payload import forms
from api.services import services
from api.skills.package_schemas import ImportAnswer, ImportForm
from domain.artifacts.skills import Skill, SkillFields, values_of
from domain.artifacts.versioned import MAX_VERSION_DESCRIPTION
from domain.content import Content
from domain.errors import Invalid, NameChanged, NameTaken, NotFound, PreconditionFailed, Unavailable
from domain.formats import incoming
from domain.formats.incoming import Incoming
from projections.encoding import etag_of
from store.ids import new_id

READ = "llm_skill:read"
WRITE = "llm_skill:write"
KIND = Skill.KIND

MODES = ("create", "upsert")

FORM_FIELDS = ("mode", "dry_run", "base_version", "version_description")

# Who creates a name while others archive it loses to one of them each time.
MAX_ATTEMPTS = 20

Outcome = Literal["created", "published", "unchanged"]

MODE = Param(
    "mode",
    {"type": "string", "enum": list(MODES), "default": "create"},
    "`create` wants a new name; `upsert` publishes a version of a skill that is there, if it would change anything.",
    "upsert",
)
DRY_RUN = Param(
    "dry_run",
    {"type": "string", "enum": list(BOOLEANS), "default": "false"},
    "Answer what would be done, and do nothing.",
    "true",
)
BASE_VERSION = Param(
    "base_version", integer(1), "With `mode=upsert`: refuse with 409 unless this is the latest version.", 1
)
VERSION_DESCRIPTION = Param(
    "version_description",
    {"type": "string", "maxLength": MAX_VERSION_DESCRIPTION},
    "What changed in the version that is made; at most 400 characters. White space around it is cut off.",
    "Shorter steps",
)


class Upload(msgspec.Struct, frozen=True):
    """The parameters of an import."""

    archive: bytes
    mode: str
    dry_run: bool
    base_version: int | None
    version_description: str = ""

    def identity(self) -> bytes:
        """The same for the same import, whatever boundaries and file names its form came with."""
        digest = sha256(self.archive).hexdigest()
        parts = [digest, self.mode, self.dry_run, self.base_version]
        # A form without one is the same as before there was such a field.
        return msgspec.json.encode(parts + [self.version_description] * bool(self.version_description))


class PackagesController(Controller):
    """Every route needs a key with the scope that it names."""

    path = "/llm_skills"
    tags = ("packages",)
    guards = (artifacts.guard,)

    @post(
        "/import",
        operation_id="llm_skills_import_create",
        summary="Import a skill",
        opt=route(WRITE, query=(MODE, DRY_RUN, BASE_VERSION, VERSION_DESCRIPTION), form=ImportForm),
        responses={
            200: ResponseSpec(
                ImportAnswer, generate_examples=False, description="Published, unchanged, or a dry run."
            ),
            **documented(400, 401, 403, 404, 409, 412, 413, 415, 422, 429, 503),
        },
    )
    async def import_(self, request: Request[Any, Any, Any]) -> Response[ImportAnswer]:
        """A skill from a zip or gzipped tar, with SKILL.md at the root or one folder down.

        `mode`, `dry_run`, `base_version` and `version_description` may also be fields of the form, which then count. 201 when the skill is new, 200
        when a version was published, or when nothing would change and so nothing was written. A dry run answers 200 with
        `outcome`, `name` and `problems` alone. What cannot be imported is refused by 400 `invalid_skill`, with everything
        that is wrong with it in `problems`.
        """
        upload = await _upload(request)
        limits = services(request).archive_limits
        skill = await offload(incoming.read, upload.archive, limits)
        incoming.check(skill, "file")
        keyed = header_of(request, b"idempotency-key") is not None
        caller = await caller_of(context(request), await offload(upload.identity) if keyed else b"")
        importing = Importing(request, caller, upload, skill)
        return await (importing.dry_run() if upload.dry_run else importing.run())

    @get(
        "/name/{skill_name:str}/export",
        operation_id="llm_skills_name_export_retrieve",
        summary="Export a skill",
        opt=route(READ, query=(*PICK, *artifacts.PAST), produces=zips.ZIP.decode(), yanks=True),
        responses=documented(400, 401, 403, 404, 410, 429, 503),
    )
    async def export(self, request: Request[Any, Any, Any], skill_name: FromPath[str]) -> Response[bytes]:
        """A zip of the latest version, or of the one that `version` or `label` names: SKILL.md and all files in a folder of the skill's name.

        The same version is the same bytes, everywhere and always; so nothing in it is compressed.
        """
        query = query_of(request)
        version = await artifacts.version(request, query, KIND, skill_name, pick_of(query))
        return counted(request, KIND, version, to_response(await zip_answer(request, version)), door=ZIP)


class Importing:
    """One import of a skill that is sound: what it does depends on what the project has under its name."""

    def __init__(
        self, request: Request[Any, Any, Any], caller: Caller, upload: Upload, skill: Incoming
    ) -> None:
        if skill.document is None:
            raise ValueError("what has errors cannot be imported")
        self.request, self.caller, self.upload = request, caller, upload
        self.skill, self.document = skill, skill.document
        self.reader, self.commands = services(request).reader, services(request).commands

    async def run(self) -> Response[Any]:
        """Import it, or find what an earlier request with the same key did, and answer with what it led to."""
        async with self.commands.once(self.caller) as before:
            done = before or await self.bring()
        headers: list[Header] = [(b"x-event-position", b"%d" % done.position)]
        project_id, version = self.caller.project_id, done.version
        if version is None:
            entry = await self.reader.get(project_id, KIND, self.document.name)
            body, etag, outcome = entry.body, entry.etag, "unchanged"
        elif done.replayed:
            headers.append((b"idempotent-replayed", b"true"))
            body = self.reader.render_write(KIND, version)
            etag, outcome = etag_of(body), "created" if done.status == 201 else "published"
        else:
            body, etag = done.answer or self.reader.store_written(project_id, KIND, version, done.position)
            outcome = "created" if done.status == 201 else "published"
        more = msgspec.json.encode({"outcome": outcome, "problems": self.skill.problems})
        # The tag is that of the skill itself, as a read of it would have it, so that a change may start from it.
        return to_response(
            json_answer(body[:-1] + b"," + more[1:], etag=etag, status=done.status, extra=headers)
        )

    async def dry_run(self) -> Response[Any]:
        """What ``run`` would do now. Raises what it would."""
        try:
            loaded = await self.commands.find(self.caller.project_id, Skill, self.document.name, cached=False)
        except NotFound as missing:
            self._check_absent(missing)
            outcome: Outcome = "created"
        else:
            if self.upload.mode == "create":
                raise NameTaken(KIND, self.document.name)
            outcome = "unchanged" if await self._changes(loaded) is None else "published"
        name, problems = self.document.name, self.skill.problems
        return conditional.answer(
            self.request, msgspec.json.encode({"outcome": outcome, "name": name, "problems": problems})
        )

    async def bring(self) -> Done:
        """Import it, whatever an earlier request did. Raises NameTaken, Unavailable, and what a publish does."""
        if self.upload.mode == "create":
            return await self._create()
        for _ in range(MAX_ATTEMPTS):
            try:
                return await self.commands.change(self.caller, Skill, self.document.name, self._decide)
            except NotFound as missing:
                self._check_absent(missing)
            try:
                return await self._create()
            except NameTaken:
                # Another importer was faster: what is left to do is to compare.
                continue
        raise Unavailable(
            "Too many others are creating and archiving this name at the same time; try again shortly."
        )

    async def _create(self) -> Done:
        skill, contents = await offload(self._new)
        return await self.commands.create(self.caller, skill, contents)

    def _new(self) -> tuple[Skill, list[Content]]:
        document = self.document
        return Skill.create(
            id=new_id(),
            version_id=new_id(),
            name=document.name,
            fields=SkillFields(*values_of(document)),
            body=document.body,
            files=incoming.files_of(self.skill, {}),
            version_description=self.upload.version_description,
        )

    async def _decide(self, loaded: Loaded[Skill], skill: Skill) -> list[Content]:
        changes = await self._changes(loaded)
        if changes is None:
            return []
        stored = {file.sha256 for file in skill.files.values()}
        contents = await offload(
            lambda: skill.publish(changes, version_id=new_id(), base_version=skill.number, texts={})
        )
        return [content for content in contents if content.ref.sha256 not in stored]

    async def _changes(self, loaded: Loaded[Skill]) -> Any:
        """What would be published; None when nothing. Raises PreconditionFailed, VersionConflict."""
        skill = loaded.aggregate
        if conditional.conditional(context(self.request)):
            current = await self.reader.get(self.caller.project_id, KIND, skill.name)
            conditional.check_if_match(context(self.request), current.etag)
        skill.check_base(self.upload.base_version)
        body = await self.reader.content(skill.body.digest)
        changes = await offload(incoming.changes_of, self.skill, skill, body)
        described = self.upload.version_description
        return changes and msgspec.structs.replace(changes, version_description=described)

    def _check_absent(self, missing: NotFound) -> None:
        """Raise when the request starts from a version of a skill that is not there, or would upsert one that has another name now."""
        if isinstance(missing, NameChanged) and self.upload.mode == "upsert":
            raise missing
        if self.upload.base_version is not None:
            raise missing
        if conditional.conditional(context(self.request)):
            raise PreconditionFailed(
                f"If-Match names a version, but there is no skill '{self.document.name}'."
            )


async def _upload(request: Request[Any, Any, Any]) -> Upload:
    """Raises UnsupportedMediaType, ParseError, Invalid."""
    content_type = (header_of(request, b"content-type") or b"").decode("latin-1")
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type != forms.MEDIA_TYPE:
        sent = f"not {media_type}" if media_type else "and name that type in Content-Type"
        raise UnsupportedMediaType(f"Send the archive as the field 'file' of {forms.MEDIA_TYPE}, {sent}.")
    form = await offload(forms.parse, await request.body(), content_type)
    archive = _archive(form.get("file", []))
    fields = {name: form[name][-1] for name in FORM_FIELDS if name in form}
    options = _options(query_of(request), fields)
    mode = options.choice("mode", MODES) or "create"
    base = version_number(options, "base_version")
    if base is not None and mode == "create":
        raise Invalid(
            "A new skill starts from no version: send base_version with mode=upsert only.",
            code="needs_upsert",
            attr="base_version",
        )
    described = options.text("version_description", max_length=MAX_VERSION_DESCRIPTION) or ""
    return Upload(archive, mode, options.choice("dry_run", BOOLEANS) == "true", base, described)


def _archive(found: list[str | bytes]) -> bytes:
    if not found:
        raise Invalid(
            "This field is required: the zip or gzipped tar of a skill.", code="required", attr="file"
        )
    if len(found) > 1:
        raise Invalid("Send one archive at a time.", code="max_length", attr="file")
    [file] = found
    if not isinstance(file, bytes):
        raise Invalid("Send this field as a file, with a file name.", attr="file")
    return file


def _options(query: Query, fields: Mapping[Any, str | bytes]) -> Query:
    """The query, with the fields of the form in place of its own where they have a value."""
    for name, value in fields.items():
        if not isinstance(value, str):
            raise Invalid("Send this field as text, without a file name.", attr=name)
        if "\0" in value:
            raise Invalid("Null characters are not allowed.", code="null_characters_not_allowed", attr=name)
        if value:
            query.values[name] = value
    return query
