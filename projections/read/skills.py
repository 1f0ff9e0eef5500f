"""Skills as the API shows them: the rows of a version, and the JSON of its representations.

A representation is put together from JSON parts that are stored encoded; nothing is parsed to be read.
"""

import hashlib
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from operator import attrgetter
from typing import Any, ClassVar

import msgspec

from domain.artifacts.references import Reference
from domain.artifacts.skills import (
    Details,
    FileRef,
    Skill,
    SkillCreated,
    SkillFields,
    SkillPublished,
    counts_of,
)
from domain.artifacts.versioned import Versioned
from domain.content import Content, Ref, served, text_of
from domain.events import Event
from domain.formats import skill_md, spec
from projections.read.sides import BODY, Side, as_file
from projections.read.versions import Row, Version, named_by, standing
from projections.write.artifacts import AppliedEvent, VersionRow

encode = msgspec.json.encode

# How the summary of a version says that not all of its manifest is served.
LEFT_OUT = f'"code":"{spec.LEFT_OUT}"'.encode()

KEPT = 1024  # skills whose parts are kept
KEPT_BYTES = 20_000  # of details and manifest; the parts of larger ones are made anew for each version
COUNTED = 50_000  # contents whose counts are kept, some 200 bytes each

# No category is kept, but clients expect the field.
CATEGORY = b'"category":"",'


_details_of = attrgetter(*Details.__struct_fields__)


class VersionDetails(Details, frozen=True):
    """What is stored of the fields of a version, and what it says of itself."""

    version_description: str = ""

    @classmethod
    def of(cls, fields: Details, version_description: str) -> "VersionDetails":
        values: tuple[Any, ...] = (*_details_of(fields), version_description)
        return cls(*values)


class Summary(msgspec.Struct, frozen=True):
    """What is stored of a version as it is installed: the digest of all its files, where SKILL.md is and its frontmatter."""

    digest: str
    skill_md: Ref
    spec_problems: list[spec.Problem]
    frontmatter: str


class Fields(msgspec.Struct, frozen=True):
    """What is made of the name and the fields of a skill; ``frame`` is its frontmatter (see ``domain.formats.skill_md.frame``).

    ``details`` are those of a version without a description.
    """

    name: str
    made_of: SkillFields
    details: Content
    frame: tuple[str, ...]
    problems: list[spec.Problem]

    @classmethod
    def of(cls, name: str, fields: SkillFields) -> "Fields":
        return cls(name, fields, _details(fields), skill_md.frame(name, fields), spec.of_fields(name, fields))

    def described(self, description: str) -> Content:
        """The details of a version."""
        return _details(self.made_of, description) if description else self.details


def _details(fields: SkillFields, description: str = "") -> Content:
    return Content.of(encode(VersionDetails.of(fields, description)))


class Text(msgspec.Struct, frozen=True):
    """What is made of a body: its problems, and where its links go."""

    made_of: Ref
    problems: list[spec.Problem]
    targets: list[bytes]

    @classmethod
    def of(cls, ref: Ref, body: bytes) -> "Text":
        return cls(ref, spec.of_body(body), spec.targets(body))


class Files(msgspec.Struct, frozen=True):
    """What is made of the files of a skill.

    ``manifest`` lists them, sorted by path: ``[{path, content_type, size, sha256, line_count, char_count}, …]``; ``served`` are
    those that leave the registry. For ``listing`` see ``domain.formats.skill_md.listing``.
    """

    made_of: Mapping[str, FileRef]
    served: Mapping[str, FileRef]
    manifest: Content
    listing: tuple[str, str]
    problems: list[spec.Problem]

    @classmethod
    def of(cls, files: Mapping[str, FileRef], counted: Sequence[FileRef]) -> "Files":
        """``counted`` are the same files, each with its counts."""
        if not files:
            return NO_FILES
        manifest, kept = Content.of(encode(counted)), served(files)
        problems = spec.of_paths(kept)
        if kept is not files:
            problems += spec.of_left_out([path for path in files if path not in kept])
        return cls(files, kept, manifest, skill_md.listing(list(kept.values())), problems)


NO_FILES = Files({}, {}, Content.of(b"[]"), skill_md.listing(()), [])


# RESULTS.md: "parts of a skill's view kept where a version leaves them as they were"
class SkillKind:
    """Skills for the read models.

    Most versions differ from the one before in a part of it alone, so what was made of the parts of a skill is kept, and
    taken over as long as a part is the same object. Values are never changed in place; and what is merely equal may be
    other JSON: 1, 1.0 and true are equal.
    """

    aggregate: ClassVar = Skill
    searched: ClassVar = "details"

    def __init__(self) -> None:
        self.read = self.write = full
        self._kept: dict[int, tuple[Fields, Text, Files]] = {}
        self._counts: dict[str, tuple[int | None, int | None]] = {}

    def needs(self, artifact: Versioned) -> Sequence[Ref]:
        # The number of the version stands in SKILL.md, so that each version has another digest of head and body.
        skill = _skill_of(artifact)
        return (skill.body, *(file.ref for file in self._uncounted(skill)))

    def _uncounted(self, skill: Skill) -> Iterator[FileRef]:
        """Files of earlier releases whose counts are not known yet. Those that are come last to be forgotten."""
        for file in skill.files.values():
            if file.line_count is msgspec.UNSET:
                counts = self._counts.pop(file.sha256, None)
                if counts is None:
                    yield file
                else:
                    self._counts[file.sha256] = counts

    def _counted(self, skill: Skill, contents: Mapping[bytes, bytes]) -> list[FileRef]:
        """The files, each with its counts; ``contents`` has what ``needs`` names."""
        for file in list(self._uncounted(skill)):
            self._counts[file.sha256] = counts_of(contents[file.ref.digest])
            if len(self._counts) > COUNTED:
                del self._counts[next(iter(self._counts))]
        return [
            file if file.line_count is not msgspec.UNSET else _with_counts(file, self._counts[file.sha256])
            for file in skill.files.values()
        ]

    def view(self, step: AppliedEvent) -> VersionRow:
        skill = _skill_of(step.artifact)
        digest = skill.body.digest
        body = step.contents[digest]
        fields, text, files = self._parts(skill, body, step.contents)
        problems = problems_of(body, fields, text, files)
        return VersionRow(
            body=digest,
            details=fields.described(skill.version_description),
            outline=skill.outline.digest,
            manifest=files.manifest,
            package=package(skill.number, body, fields, files, problems),
            has_problems=bool(problems),
        )

    def _parts(
        self, skill: Skill, body: bytes, contents: Mapping[bytes, bytes]
    ) -> tuple[Fields, Text, Files]:
        key = skill.id.int
        fields, text, files = self._kept.pop(key, (None, None, None))
        if fields is None or fields.made_of is not skill.fields or fields.name != skill.name:
            fields = Fields.of(skill.name, skill.fields)
        if text is None or text.made_of is not skill.body:
            text = Text.of(skill.body, body)
        if files is None or files.made_of is not skill.files:
            files = Files.of(skill.files, self._counted(skill, contents))
        parts = fields, text, files
        if fields.details.ref.size + files.manifest.ref.size <= KEPT_BYTES:
            self._kept[key] = parts
            if len(self._kept) > KEPT:
                del self._kept[next(iter(self._kept))]
        return parts

    def text(self, step: AppliedEvent) -> str:
        return _skill_of(step.artifact).fields.description

    def text_changed(self, event: Event) -> bool:
        return isinstance(event, SkillCreated) or (
            isinstance(event, SkillPublished) and event.description is not msgspec.UNSET
        )

    def searched_text(self, data: bytes) -> str:
        return msgspec.json.decode(data, type=Details).description

    def references(self, version: Version) -> Sequence[Reference]:
        return ()

    def resolved(self, version: Version, label: str | None, texts: Mapping[Reference, Version]) -> bytes:
        raise ValueError("a skill refers to nothing")

    def side(self, version: Version) -> Side:
        details = msgspec.json.decode(version.details, type=VersionDetails)
        return Side(
            fields={
                field: getattr(details, field) for field in Details.__struct_fields__ if field != "metadata"
            }
            | {
                "frontmatter": read_package(packed(version))[0].frontmatter,
                "version_description": details.version_description,
            },
            metadata=details.metadata,
            text=as_file(BODY, "text/markdown", version.body),
            files=read_manifest(version.manifest or b"[]"),
        )

    def readable(self, data: bytes) -> str | None:
        return text_of(data)


def _with_counts(file: FileRef, counts: tuple[int | None, int | None]) -> FileRef:
    lines, chars = counts
    return msgspec.structs.replace(file, line_count=lines, char_count=chars)


def _skill_of(artifact: Versioned) -> Skill:
    if not isinstance(artifact, Skill):
        raise TypeError(f"{type(artifact)} is no skill")
    return artifact


def problems_of(body: bytes, fields: Fields, text: Text, files: Files) -> list[spec.Problem]:
    return [
        *fields.problems,
        *text.problems,
        *files.problems,
        *spec.of_links(body, text.targets, files.served),
    ]


def package(number: int, body: bytes, fields: Fields, files: Files, problems: list[spec.Problem]) -> Content:
    """A line of JSON, the ``Summary``, and then the head of SKILL.md."""
    head = skill_md.numbered(fields.frame, number).encode()
    whole = hashlib.sha256(head)
    whole.update(body)
    ref = Ref(whole.hexdigest(), len(head) + len(body))
    digest = skill_md.listed(files.listing, ref)
    return Content.of(encode(Summary(digest, ref, problems, fields.made_of.frontmatter)) + b"\n" + head)


_manifests = msgspec.json.Decoder(list[FileRef])


def read_manifest(data: bytes) -> Mapping[str, FileRef]:
    """A stored manifest by path, without paths that no endpoint may serve (see ``domain.content.served``)."""
    return served({file.path: file for file in _manifests.decode(data)})


def full(version: Version) -> bytes:
    """A skill with body and manifest: the answer of every endpoint that answers with one skill."""
    return _skill(version, b',"body":' + encode(version.body.decode()))


def paged(version: Version, offset: int, length: int | None) -> bytes:
    """The same with a part of the body: ``length`` characters from ``offset``, and where the next part begins."""
    text = version.body.decode()
    part = text[offset:] if length is None else text[offset : offset + length]
    end = offset + len(part)
    following = str(end) if end < len(text) else "null"
    body = b',"body":' + encode(part)
    return _skill(version, body + f',"body_total_length":{len(text)},"body_next_offset":{following}'.encode())


def _skill(version: Version, body: bytes) -> bytes:
    before, after = standing(version)
    summary, manifest = _summary(packed(version)), version.manifest or b"[]"
    if LEFT_OUT in summary:
        manifest = encode(list(read_manifest(manifest).values()))
    parts = (
        before,
        b",",
        CATEGORY,
        version.details[1:-1],
        body,
        b',"files":',
        manifest,
        b',"outline":',
        version.outline or b"[]",
        b",",
        summary,
        after,
        b',"labels":',
        encode(version.labels),
    )
    return b"{" + b"".join(parts) + b"}"


def row(item: Row, label: str | None = None, *, deleted: bool = False) -> bytes:
    """A skill as a list shows it, without body and files; ``label`` when the list is of the versions that it points to."""
    before, after = standing(item, deleted=deleted)
    return b"".join(
        (
            b"{",
            before,
            b",",
            CATEGORY,
            item.details[1:-1],
            b',"outline":',
            item.outline or b"[]",
            b",",
            _summary(item.package),
            after,
            b',"all_labels":',
            item.labels or b"[]",
            named_by(label),
            b"}",
        )
    )


def packed(version: Version) -> bytes:
    """The package of a version; made now for one that was written before packages were, until a replay stores it."""
    if version.package is not None:
        return version.package
    fields = Fields.of(version.name, msgspec.json.decode(version.details, type=SkillFields))
    text = Text.of(Content.of(version.body).ref, version.body)
    manifest = read_manifest(version.manifest or b"[]")
    files = Files.of(manifest, list(manifest.values()))
    problems = problems_of(version.body, fields, text, files)
    return package(version.number, version.body, fields, files, problems).data


_summaries = msgspec.json.Decoder(Summary)


def read_package(data: bytes) -> tuple[Summary, bytes]:
    """A stored package: the summary, and the head of SKILL.md."""
    line, _, head = data.partition(b"\n")
    return _summaries.decode(line), head


def _summary(package: bytes | None) -> bytes:
    """Its members as they are stored, each with a comma behind it."""
    return b"" if package is None else package[1 : package.index(b"\n") - 1] + b","


def file_json(file: FileRef, content: bytes) -> bytes:
    """The answer to a read of one file."""
    text = text_of(content)
    fields = {"path": file.path, "content": text, "content_type": file.content_type}
    if text is None:
        fields |= {"content": b64encode(content).decode(), "encoding": "base64"}
    return encode(fields)
