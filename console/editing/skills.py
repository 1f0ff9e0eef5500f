"""Skills in the editor."""

from collections.abc import Sequence
from typing import Any, ClassVar

import msgspec
from msgspec import UNSET

from api.artifacts.common import Command
from api.artifacts.marks import NONE, Marks, marking
from api.http.context import RequestContext
from api.skills import schemas
from api.skills.commands import publishing, renaming, sent
from console.editing import kind
from console.editing.drafts import Draft, DraftFile
from console.editing.kind import Field, Problem, State, decoded, problem_of
from domain.artifacts.skills import Changes, File, FileRef, Skill, SkillFields
from domain.content import MAX_CONTENT_BYTES, Content
from domain.errors import Refused
from domain.formats import spec
from domain.json_text import indented
from projections.read import skills
from projections.read.sides import BODY, Side, as_file
from projections.read.versions import Version
from store.ids import new_id

FIELDS = (
    Field(
        "description",
        "Description",
        "text",
        "What it does and when to use it: agents choose a skill by this.",
    ),
    Field("license", "License", "line"),
    Field("compatibility", "Compatibility", "line", "What it needs, such as Python 3.11."),
    Field("allowed_tools", "Allowed tools", "lines", "One a line, such as Bash(git log:*)."),
    Field("metadata", "Metadata", "json", "A JSON object."),
    Field("tags", "Tags", "tags", "Between commas. They belong to the name, not to a version."),
)
# What a version is made of; tags are not.
OF_A_VERSION = FIELDS[:-1]

_metadata = msgspec.json.Decoder(dict[str, Any])
_details = msgspec.json.Decoder(skills.VersionDetails)


class SkillEditing:
    fields: ClassVar[tuple[Field, ...]] = FIELDS

    def empty(self) -> Draft:
        return Draft("", 0, "", {field.name: "" for field in FIELDS})

    def opened(self, version: Version) -> Draft:
        details = _details.decode(version.details)
        summary, _ = skills.read_package(skills.packed(version))
        files = [
            DraftFile(number, file.path, file.content_type, kept=file, origin=file.path)
            for number, file in enumerate(skills.read_manifest(version.manifest or b"[]").values(), 1)
        ]
        return Draft(
            version.name,
            version.number,
            version.body.decode(),
            {
                "description": details.description,
                "license": details.license,
                "compatibility": details.compatibility,
                "allowed_tools": "\n".join(details.allowed_tools),
                "metadata": indented(msgspec.json.encode(details.metadata)) if details.metadata else "",
                "tags": ", ".join(version.tags),
            },
            files=files,
            next_file=len(files) + 1,
            frontmatter=summary.frontmatter,
            tags_before=", ".join(version.tags),
        )

    def check(self, draft: Draft) -> list[Problem]:
        found = kind.checked(schemas.PublishSkill, FIELDS, draft)
        body = msgspec.json.encode(draft.text)
        for name, value in (("body", body), ("version_description", msgspec.json.encode(draft.note))):
            try:
                decoded(schemas.PublishSkill, {name: value})
            except Refused as error:
                found.append(problem_of(error, "text" if name == "body" else "note"))
        if not draft.base:
            required = {"name": msgspec.json.encode(draft.name), "description": b'"d"', "body": b'"b"'}
            try:
                decoded(schemas.CreateSkill, required)
            except Refused as error:
                found.append(problem_of(error, "name"))
        found += self._check_files(draft)
        if not found:
            try:
                self._new(draft)
            except Refused as error:
                found.append(problem_of(error, "text" if error.attr == "body" else ""))
        return found + self._warnings(draft, is_sound=not found)

    def _check_files(self, draft: Draft) -> list[Problem]:
        found = []
        standing = draft.standing
        try:
            decoded(schemas.PublishSkill, {"files": self._listed(draft)})
        except Refused as error:
            # files__3__path: which one it is stands in the middle.
            place = (error.attr or "").split("__")[1:2]
            file = standing[int(place[0])] if place and place[0].isdecimal() else None
            found.append(problem_of(error, f"path.{file.id}" if file else "files"))
        for file in standing:
            if file.size > MAX_CONTENT_BYTES:
                message = f"'{file.path}' has {file.size:,} bytes; a file has at most {MAX_CONTENT_BYTES:,}."
                found.append(Problem("error", f"path.{file.id}", message))
        return found

    def _warnings(self, draft: Draft, *, is_sound: bool) -> list[Problem]:
        found = [*kind.unseen("description", draft.fields["description"]), *kind.unseen("text", draft.text)]
        if not is_sound:
            return found
        paths = {file.path for file in draft.standing}
        for problem in spec.problems(draft.name, self._values(draft), draft.text.encode(), paths):
            found.append(Problem("warning", "files" if problem.path in paths else "text", problem.message))
        return found

    async def check_around(self, context: RequestContext, draft: Draft) -> list[Problem]:
        return [] if draft.base else await kind.taken(context, Skill.KIND, draft.name.strip())

    def state(self, draft: Draft) -> State:
        values = self._values(draft)
        fields = {
            field: getattr(values, field)
            for field in ("description", "license", "compatibility", "allowed_tools", "frontmatter")
        }
        contents = [Content.of(draft.text)]
        files = {}
        for file in self._files(draft):
            if isinstance(file, File):
                content = Content.of(file.content)
                contents.append(content)
                files[file.path] = FileRef.of(file.path, file.content_type, content)
            else:
                files[file.path] = file
        text = as_file(BODY, "text/markdown", draft.text.encode())
        side = Side(fields, values.metadata, text, dict(sorted(files.items())))
        return State(side, {content.digest: content.data for content in contents})

    def command(self, context: RequestContext, name: str, draft: Draft, before: Draft | None) -> Command:
        if before is None:
            skill, contents = self._new(draft)
            return lambda caller, commands: commands.create(caller, skill, contents)
        names = kind.changed(draft, before)
        marks = Marks(tags=self._tags(draft)) if "tags" in names else NONE
        names.discard("tags")
        files, old_files = self._files(draft), self._files(before)
        are_same = sorted(map(_identity, files)) == sorted(map(_identity, old_files))
        note = draft.note.strip()
        if not names and not note and draft.frontmatter == before.frontmatter:
            if are_same:
                return marking(context, Skill, name, marks, draft.base)
            if (renamed := _renamed(draft, files, old_files)) is not None:
                return renaming(context, name, *renamed, marks, draft.base)
        values = self._values(draft)
        fields = {name: getattr(values, name) for name in names if name != "text"}
        if draft.frontmatter != before.frontmatter:
            fields["frontmatter"] = draft.frontmatter
        changes = Changes(
            body=draft.text if "text" in names else UNSET,
            files=UNSET if are_same else tuple(files),
            fields=fields,
            version_description=note,
        )
        size = len(draft.text) + sum(len(file.data or b"") for file in draft.standing)
        return publishing(context, name, changes, marks, draft.base, size)

    def _new(self, draft: Draft) -> tuple[Skill, list[Content]]:
        return Skill.create(
            id=new_id(),
            version_id=new_id(),
            name=draft.name.strip(),
            fields=self._values(draft),
            body=draft.text,
            files=self._files(draft),
            version_description=draft.note.strip(),
            tags=self._tags(draft),
        )

    @staticmethod
    def _values(draft: Draft) -> SkillFields:
        values = {
            field.name: field.json(draft.fields[field.name])
            for field in OF_A_VERSION
            if field.shape != "json"
        }
        text = draft.fields["metadata"]
        values["metadata"] = kind.checked_json(text) if text.strip() else b"{}"
        return SkillFields(**sent(decoded(schemas.PublishSkill, values)), frontmatter=draft.frontmatter)

    @staticmethod
    def _tags(draft: Draft) -> tuple[str, ...]:
        return tuple(decoded(schemas.PublishSkill, {"tags": FIELDS[-1].json(draft.fields["tags"])}).tags)

    @staticmethod
    def _listed(draft: Draft) -> bytes:
        """The files as the API takes them, without what is in them."""
        return msgspec.json.encode(
            [{"path": file.path, "content": "", "content_type": file.content_type} for file in draft.standing]
        )

    def _files(self, draft: Draft) -> list[File | FileRef]:
        found: list[File | FileRef] = []
        listed = decoded(schemas.PublishSkill, {"files": self._listed(draft)}).files
        for file, named in zip(draft.standing, listed, strict=True):
            if file.kept is not None:
                found.append(
                    msgspec.structs.replace(file.kept, path=named.path, content_type=named.content_type)
                )
            else:
                found.append(File(named.path, file.data or b"", named.content_type))
        return found


def _renamed(
    draft: Draft, files: Sequence[File | FileRef], before: Sequence[File | FileRef]
) -> tuple[str, str] | None:
    """The old and the new path, when the one change of the draft is that a file has another path."""
    moved = [
        (file.origin, made.path)
        for file, made in zip(draft.standing, files, strict=True)
        if file.origin is not None and file.origin != made.path
    ]
    if len(moved) != 1:
        return None
    [(old, new)] = moved
    others = [msgspec.structs.replace(file, path=new) if file.path == old else file for file in before]
    return (old, new) if sorted(map(_identity, files)) == sorted(map(_identity, others)) else None


def _identity(file: File | FileRef) -> tuple[str, str, str]:
    digest = file.sha256 if isinstance(file, FileRef) else Content.of(file.content).ref.sha256
    return file.path, file.content_type, digest
