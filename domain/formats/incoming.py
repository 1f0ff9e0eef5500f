"""A skill that comes in as an archive: what it says, what is wrong with it, and what it would change."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec import UNSET

from domain.artifacts.skills import FIELDS, Changes, File, FileRef, Metadata, Skill, values_of
from domain.content import Content, text_of
from domain.errors import Invalid
from domain.formats import skill_md, spec
from domain.formats.archives import LIMITS, Limits, Unpacked, gather, unpack
from domain.formats.skill_md import WHOLE, Document
from domain.formats.spec import Problem

TEXT = "text/plain"
BINARY = "application/octet-stream"


class Incoming(msgspec.Struct, frozen=True):
    """``document`` is None when one of the problems is an error; ``name`` is what SKILL.md says, valid or not.

    Paths of problems are those in the archive; ``folder`` is the one that held SKILL.md, empty for the root.
    """

    document: Document | None
    files: tuple[tuple[str, bytes], ...]
    problems: tuple[Problem, ...]
    name: str = ""
    folder: str = ""

    @property
    def errors(self) -> list[Problem]:
        return [problem for problem in self.problems if problem.severity == "error"]


def read(archive: bytes, limits: Limits = LIMITS) -> Incoming:
    """The skill in a zip or gzipped tar, with every problem that it has. Never raises over what was sent."""
    return _understood(unpack(archive, limits))


def read_files(files: Sequence[tuple[str, bytes]], limits: Limits = LIMITS) -> Incoming:
    """The same of files that come one by one, each with its path."""
    return _understood(gather(files, limits))


def _understood(unpacked: Unpacked) -> Incoming:
    if unpacked.skill_md is None:
        return Incoming(None, (), unpacked.problems, folder=unpacked.folder)
    parsed = skill_md.parse(unpacked.skill_md)
    prefix = f"{unpacked.folder}/" if unpacked.folder else ""
    within = list(parsed.problems)
    if (document := parsed.document) is not None:
        paths = {path for path, _ in unpacked.files}
        within += spec.problems(document.name, document, document.body.encode(), paths)
    found = [
        *unpacked.problems,
        *(msgspec.structs.replace(problem, path=prefix + problem.path) for problem in within),
    ]
    if unpacked.folder and parsed.name and unpacked.folder != parsed.name:
        found.append(
            Problem(
                "folder_name",
                f"The folder is named '{unpacked.folder}', the skill '{parsed.name[:80]}': both should be the same.",
                prefix + "SKILL.md",
            )
        )
    if any(problem.severity == "error" for problem in found):
        document = None
    return Incoming(document, unpacked.files, tuple(found), parsed.name, unpacked.folder)


def check(incoming: Incoming, attr: str) -> None:
    """Raises Invalid that blames ``attr``, with every problem, when one of them is an error."""
    errors = incoming.errors
    if not errors:
        return
    first = errors[0]
    where = f"{first.path}: " if first.path else ""
    rest = f" And {len(errors) - 1} more; problems lists all of them." if len(errors) > 1 else ""
    raise Invalid(
        f"This cannot be imported. {where}{first.message}{rest}",
        code="invalid_skill",
        attr=attr,
        problems=incoming.problems,
    )


def files_of(incoming: Incoming, known: Mapping[str, FileRef]) -> tuple[File, ...]:
    """The files as a command takes them. Archives tell no content types: those of ``known`` files stay as they are."""
    return tuple(
        File(path, data, known[path].content_type if path in known else content_type_of(data))
        for path, data in incoming.files
    )


def content_type_of(data: bytes) -> str:
    """Whether it is text; bytes say no more than that."""
    return BINARY if text_of(data) is None else TEXT


def changes_of(incoming: Incoming, skill: Skill, body: bytes) -> Changes | None:
    """What a publish of it would change of ``skill``, whose body is given; None when nothing would be.

    A field whose text in SKILL.md stays the same keeps the value that it has.
    """
    document = incoming.document
    if document is None:
        raise ValueError("what has errors changes nothing")
    same_body = document.body.encode() == body
    old = skill.fields
    tools_stay = " ".join(document.allowed_tools) == " ".join(old.allowed_tools)
    merged = msgspec.structs.replace(
        document,
        allowed_tools=old.allowed_tools if tools_stay else document.allowed_tools,
        metadata=metadata_of(document.metadata, old.metadata),
    )
    same_files = {path: Content.of(data).ref for path, data in incoming.files} == {
        path: file.ref for path, file in skill.files.items()
    }
    if same_files and same_body and skill_md.frame(merged.name, merged) == skill_md.frame(skill.name, old):
        return None
    return Changes(
        body=UNSET if same_body else document.body,
        files=UNSET if same_files else files_of(incoming, skill.files),
        fields={
            field: new
            for field, was, new in zip(FIELDS, values_of(old), values_of(merged), strict=True)
            # Of metadata what is equal may be another text: 1, 1.0 and true are equal.
            if new is not was and (new != was or field == "metadata")
        },
    )


def metadata_of(new: Metadata, old: Metadata) -> Metadata:
    """Metadata as SKILL.md has it, with the values that the same text stands for already.

    A whole number as ``version`` is not in it, because the registry writes its own number there: an old one stays.
    """
    merged = {
        key: old[key] if key in old and _text(old[key]) == _text(value) else value
        for key, value in new.items()
    }
    version = old.get("version")
    if "version" not in merged and version is not None and WHOLE.fullmatch(_text(version)):
        merged["version"] = version
    return old if _lines(merged) == _lines(old) else merged


def _lines(metadata: Metadata) -> tuple[list[tuple[str, str]], str]:
    """As they stand in SKILL.md, where the order counts and ``version`` is always the last."""
    texts = {key: _text(value) for key, value in metadata.items()}
    version = texts.pop("version", "")
    return list(texts.items()), version


def _text(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
