"""Skills as the API shows them: the rows of a version, and the JSON of its representations.

A representation is put together from JSON parts that are stored encoded; nothing is parsed to be read.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from domain.content import Content, Ref
from domain.events import Event
from domain.skills import FileRef, Skill, SkillCreated, SkillPublished
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


class SkillKind:
    """Skills for the read models."""

    def needs(self, artifact: Versioned) -> Sequence[Ref]:
        return ()

    def view(self, step: Step) -> View:
        skill = _skill_of(step.artifact)
        return View(
            body=skill.body.digest,
            details=details(skill),
            outline=skill.outline.digest,
            manifest=manifest(skill),
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
    return Content.of(
        encode(
            Details(
                skill.description, skill.license, skill.compatibility, skill.allowed_tools, skill.metadata
            )
        )
    )


def manifest(skill: Skill) -> Content:
    """The files of a version, sorted by path: ``[{path, content_type, size, sha256}, …]``."""
    return Content.of(encode(list(skill.files.values())))


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
            after,
            b"}",
        )
    )


def file_json(file: FileRef, content: bytes) -> bytes:
    """The answer to a read of one file."""
    return encode({"path": file.path, "content": content.decode(), "content_type": file.content_type})


def text_of_details(details: bytes) -> str:
    """What a search finds a skill by, beside its name."""
    return msgspec.json.decode(details, type=Details).description
