"""Skills as the API shows them: the rows of a version, and the JSON of its representations.

A representation is put together from JSON parts that are stored encoded; nothing is parsed to be read.
"""

import hashlib
from base64 import b64encode
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import msgspec

from domain import skill_md, spec
from domain.content import Content, Ref, text_of
from domain.events import Event
from domain.skills import FileRef, Metadata, Skill, SkillCreated, SkillPublished
from domain.versioned import Versioned
from projections.artifacts import Step, View
from projections.versions import Row, Version, standing

encode = msgspec.json.encode


class Details(msgspec.Struct):
    """The short fields of a version, in the order of the API page."""

    description: str
    license: str
    compatibility: str
    allowed_tools: tuple[str, ...]
    metadata: dict[str, Any]


class Summary(msgspec.Struct, frozen=True):
    """What is stored of a version as it is installed: the digest of all its files, where SKILL.md is and its frontmatter."""

    digest: str
    skill_md: Ref
    spec_problems: list[spec.Problem]
    frontmatter: str


class SkillKind:
    """Skills for the read models."""

    def needs(self, artifact: Versioned) -> Sequence[Ref]:
        # The number of the version stands in SKILL.md, so that each version has another digest of head and body.
        return (_skill_of(artifact).body,)

    def view(self, step: Step) -> View:
        skill = _skill_of(step.artifact)
        body = step.contents[skill.body.sha256]
        return View(
            body=skill.body.digest,
            details=details(skill),
            outline=skill.outline.digest,
            manifest=manifest(skill),
            package=package(skill, skill.number, body, skill.files),
        )

    def text(self, step: Step) -> str:
        return _skill_of(step.artifact).description

    def text_changed(self, event: Event) -> bool:
        return isinstance(event, SkillCreated) or (
            isinstance(event, SkillPublished) and event.description is not msgspec.UNSET
        )


def _skill_of(artifact: Versioned) -> Skill:
    if not isinstance(artifact, Skill):
        raise TypeError(f"{type(artifact)} is no skill")
    return artifact


def details(skill: Skill) -> Content:
    if skill.metadata:
        return _details(
            skill.description, skill.license, skill.compatibility, skill.allowed_tools, skill.metadata
        )
    return _plain_details(skill.description, skill.license, skill.compatibility, skill.allowed_tools)


def _details(
    description: str, license: str, compatibility: str, allowed_tools: tuple[str, ...], metadata: Metadata
) -> Content:
    return Content.of(encode(Details(description, license, compatibility, allowed_tools, metadata)))


# Most versions of a skill differ in the body alone, and a fold of the log sees them one after the other.
@lru_cache(maxsize=1024)
def _plain_details(
    description: str, license: str, compatibility: str, allowed_tools: tuple[str, ...]
) -> Content:
    return _details(description, license, compatibility, allowed_tools, {})


NO_FILES = Content.of(b"[]")


def manifest(skill: Skill) -> Content:
    """The files of a version, sorted by path: ``[{path, content_type, size, sha256}, …]``."""
    return Content.of(encode(list(skill.files.values()))) if skill.files else NO_FILES


def package(fields: spec.Fields, number: int, body: bytes, files: Mapping[str, FileRef]) -> Content:
    """A line of JSON, the ``Summary``, and then the head of SKILL.md."""
    head = skill_md.head(fields, number).encode()
    text = hashlib.sha256(head)
    text.update(body)
    ref = Ref(text.hexdigest(), len(head) + len(body))
    summary = Summary(
        skill_md.digest(ref, files.values()), ref, spec.problems(fields, body, files), fields.frontmatter
    )
    return Content.of(encode(summary) + b"\n" + head)


_manifests = msgspec.json.Decoder(list[FileRef])


def read_manifest(data: bytes) -> dict[str, FileRef]:
    """A stored manifest by path."""
    return {file.path: file for file in _manifests.decode(data)}


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
    parts = (
        before,
        b",",
        version.details[1:-1],
        body,
        b',"files":',
        version.manifest or b"[]",
        b',"outline":',
        version.outline or b"[]",
        b",",
        _summary(packed(version)),
        after,
    )
    return b"{" + b"".join(parts) + b"}"


def row(item: Row, *, deleted: bool = False) -> bytes:
    """A skill as a list shows it: without body and files."""
    before, after = standing(item, deleted=deleted)
    return b"".join(
        (
            b"{",
            before,
            b",",
            item.details[1:-1],
            b',"outline":',
            item.outline or b"[]",
            b",",
            _summary(item.package),
            after,
            b"}",
        )
    )


def packed(version: Version) -> bytes:
    """The package of a version; made now for one that was written before packages were, until a replay stores it."""
    if version.package is not None:
        return version.package
    held = msgspec.json.decode(version.details, type=Details)
    fields = skill_md.Document(
        version.name,
        held.description,
        "",
        held.license,
        held.compatibility,
        held.allowed_tools,
        held.metadata,
    )
    return package(fields, version.number, version.body, read_manifest(version.manifest or b"[]")).data


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


def text_of_details(details: bytes) -> str:
    """What a search finds a skill by, beside its name."""
    return msgspec.json.decode(details, type=Details).description
