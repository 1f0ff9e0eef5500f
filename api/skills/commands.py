"""What a change of a skill does with its request; the framework's controller and the fast path publish by the same function."""

from collections.abc import Callable
from operator import attrgetter
from typing import Any

from msgspec import UNSET

from api.artifacts import fields
from api.artifacts.common import Command, base_version, check_etag, run
from api.artifacts.marks import NONE, Marks, brings_no_version, marks_of, set_marks
from api.cache.reader import RepresentationCache
from api.commands.repository import Loaded
from api.http import conditional
from api.http.context import RequestContext
from api.http.responses import Answer
from api.offload import heavy
from api.payload.decode import read
from api.skills import schemas
from domain.artifacts.skills import FIELDS, Changes, File, FileEdits, Skill, SkillFields, find_file
from domain.content import Content, Edit
from domain.errors import Invalid
from projections.encoding import etag_of
from projections.read import skills
from projections.read.versions import Version
from store.ids import new_id

KIND = Skill.KIND

# The fields that bodies may bring.
SENT = [field for field in FIELDS if field in schemas.CreateSkill.__struct_fields__]
NONE_SENT = (UNSET,) * len(SENT)
values_sent: Callable[[Any], tuple[Any, ...]] = attrgetter(*SENT)


async def publish(context: RequestContext, name: str, body: bytes) -> Answer:
    """The next version of the skill ``name``. Raises whatever the request is refused by."""
    data = await read(schemas.PublishSkill, body, context.header(b"content-type"))
    marks = NONE if data.owners is UNSET and data.tags is UNSET else await marks_of(context, data)
    if marks is not NONE and brings_no_version(data):
        base = base_version(context, data.base_version)
        return await set_marks(context, Skill, name, marks, base, body)
    changes = await heavy(len(body), lambda: changes_of(data))
    base = base_version(context, data.base_version, required=True)
    return await run(context, body, KIND, publishing(context, name, changes, marks, base, len(body)))


def publishing(
    context: RequestContext, name: str, changes: Changes, marks: Marks, base: int | None, size: int
) -> Command:
    """The command that makes the next version; ``size`` are the bytes that the changes came in."""
    reader = context.services.reader

    async def decide(loaded: Loaded[Skill], skill: Skill) -> list[Content]:
        await check_etag(context, loaded)
        skill.check_base(base)
        if marks is not NONE:
            marks.set_on(skill)
        texts = await reader.contents([ref.digest for ref in skill.texts_for(changes)])
        return await heavy(
            size + skill.edit_cost(changes),
            lambda: skill.publish(changes, version_id=new_id(), base_version=skill.number, texts=texts),
        )

    return lambda caller, commands: commands.change(caller, Skill, name, decide)


def renaming(
    context: RequestContext, name: str, old: str, new: str, marks: Marks, base: int | None
) -> Command:
    """The command that makes the next version, with one file at another path."""

    async def decide(loaded: Loaded[Skill], skill: Skill) -> list[Content]:
        await check_etag(context, loaded)
        skill.check_base(base)
        if marks is not NONE:
            marks.set_on(skill)
        skill.rename_file(old, new, version_id=new_id(), base_version=skill.number)
        return []

    return lambda caller, commands: commands.change(caller, Skill, name, decide)


async def check_file_etag(context: RequestContext, loaded: Loaded[Skill], path: str) -> None:
    """Raises PreconditionFailed unless ``If-Match`` names the skill as it is now, or the file at ``path``."""
    if not conditional.conditional(context):
        return
    reader, place = context.services.reader, (context.project_id, KIND, loaded.aggregate.name)
    file = await file_json(reader, await reader.version(*place), path)
    conditional.check_if_match(context, *await reader.etags(*place), etag_of(file))


async def file_json(reader: RepresentationCache, version: Version, path: str) -> bytes:
    """The answer to a read of one file. Raises NotFound."""
    file = find_file(skills.read_manifest(version.manifest or b"[]"), path, version.name)
    content = await reader.content(file.ref.digest)
    return skills.file_json(file, content)


def new_skill(data: schemas.CreateSkill, marks: Marks = NONE) -> tuple[Skill, list[Content]]:
    return Skill.create(
        id=new_id(),
        version_id=new_id(),
        name=data.name,
        fields=SkillFields(**sent(data)),
        body=data.body,
        files=files_of(data.files),
        version_description=data.version_description or "",
        owners=None if marks.owners is UNSET else marks.owners,
        tags=() if marks.tags is UNSET else marks.tags,
    )


def changes_of(data: schemas.PublishSkill) -> Changes:
    """Raises Invalid when two ways to change the same thing are given."""
    if data.body is not UNSET and data.edits is not UNSET:
        raise Invalid("Send the whole body or edits to it, not both.")
    if data.files is not UNSET and data.file_edits is not UNSET:
        raise Invalid("Send the whole list of files or edits to some of them, not both.")
    return Changes(
        body=data.body,
        edits=UNSET if data.edits is UNSET else edits_of(data.edits),
        files=UNSET if data.files is UNSET else files_of(data.files),
        file_edits=UNSET
        if data.file_edits is UNSET
        else tuple(FileEdits(entry.path, edits_of(entry.edits)) for entry in data.file_edits),
        fields=sent(data),
        version_description=data.version_description or "",
    )


def sent(data: schemas.CreateSkill | schemas.PublishSkill) -> dict[str, Any]:
    """The fields that a body brings, as the domain has them."""
    values = values_sent(data)
    if values == NONE_SENT:
        return {}
    return {
        field: tuple(value) if type(value) is list else value
        for field, value in zip(SENT, values, strict=True)
        if value is not UNSET
    }


def edits_of(edits: list[fields.EditBody]) -> tuple[Edit, ...]:
    return tuple(Edit(edit.old, edit.new) for edit in edits)


def files_of(files: list[schemas.FileBody]) -> tuple[File, ...]:
    return tuple(File(file.path, schemas.bytes_of(file), file.content_type) for file in files)
