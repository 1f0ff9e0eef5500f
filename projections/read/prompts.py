"""Prompts as the API shows them: the rows of a version, and the JSON of its representations."""

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

import msgspec

from domain.artifacts import references
from domain.artifacts.prompts import Prompt, PromptCreated, PromptPublished
from domain.artifacts.references import Reference
from domain.artifacts.versioned import Versioned
from domain.content import Content, Ref
from domain.events import Event
from domain.json_text import indented
from projections.read.sides import Side, as_file
from projections.read.versions import Row, Version, named_by, standing
from projections.write.artifacts import AppliedEvent, VersionRow

encode = msgspec.json.encode

PREVIEW = 160  # characters

Show = Literal["full", "preview", "none"]


class Details(msgspec.Struct):
    """What is stored of a version beside its text; ``size`` is that of the compact JSON in bytes."""

    config: msgspec.Raw
    version_description: str
    preview: str
    size: int


_details = msgspec.json.Decoder(Details)


class PromptKind:
    """Prompts for the read models."""

    aggregate: ClassVar = Prompt
    searched: ClassVar = "body"

    def __init__(self) -> None:
        self.read, self.write = by_name, full

    def needs(self, artifact: Versioned) -> Sequence[Ref]:
        return (_prompt(artifact).prompt,)

    def view(self, step: AppliedEvent) -> VersionRow:
        prompt = _prompt(step.artifact)
        digest = prompt.prompt.digest
        text = text_of(step.contents[digest])
        details = Details(
            msgspec.Raw((prompt.config or "null").encode()),
            prompt.version_description,
            text[:PREVIEW] + "..." if len(text) > PREVIEW else text,
            prompt.prompt.size,
        )
        return VersionRow(
            body=digest,
            details=Content.of(encode(details)),
            outline=None,
            manifest=None,
            references=references.found_in(step.contents[digest]),
        )

    def text(self, step: AppliedEvent) -> str:
        return text_of(step.contents[_prompt(step.artifact).prompt.digest])

    def text_changed(self, event: Event) -> bool:
        return isinstance(event, PromptCreated) or (
            isinstance(event, PromptPublished) and event.prompt is not msgspec.UNSET
        )

    def searched_text(self, data: bytes) -> str:
        return text_of(data)

    def references(self, version: Version) -> Sequence[Reference]:
        return references.found_in(version.body)

    def resolved(self, version: Version, label: str | None, texts: Mapping[Reference, Version]) -> bytes:
        return resolved(version, label, texts)

    def side(self, version: Version) -> Side:
        """The configuration stays the JSON that it is."""
        details = _details.decode(version.details)
        if version.body[:1] == b'"':
            text = as_file("prompt.txt", "text/plain", version.body)
        else:
            text = as_file("prompt.json", "application/json", version.body)
        return Side(
            fields={"config": details.config, "version_description": details.version_description}, text=text
        )

    def readable(self, data: bytes) -> str:
        """As people edit it: a text as it is, any other value as indented JSON."""
        return text_of(data) if data[:1] == b'"' else indented(data)


def _prompt(artifact: Versioned) -> Prompt:
    if not isinstance(artifact, Prompt):
        raise TypeError(f"{type(artifact)} is no prompt")
    return artifact


def text_of(data: bytes) -> str:
    """A text as it is, any other value as its compact JSON."""
    return msgspec.json.decode(data, type=str) if data[:1] == b'"' else data.decode()


def full(version: Version) -> bytes:
    """A prompt as writes answer with it."""
    return _one(version, "full", with_author=True)


def by_name(version: Version) -> bytes:
    """A prompt as a read by name shows it: without its author, as the API page has it."""
    return _one(version, "full", with_author=False)


def resolved(version: Version, label: str | None, texts: Mapping[Reference, Version]) -> bytes:
    """A read by name or label of a prompt that refers to others, with their texts in place of its marks."""
    body = references.text_of(version.body) or ""
    found = {
        one: msgspec.json.decode(other.body, type=str)
        for one, other in texts.items()
        if other.body[:1] == b'"'
    }
    whole = msgspec.structs.replace(version, body=encode(references.resolved(body, found)))
    named = [{"name": one.name, "version": texts[one].number, "label": one.label} for one in found]
    more = b',"resolved_references":' + encode(named)
    return _one(whole, "full", with_author=False, label=label)[:-1] + more + b"}"


def shown(version: Version, show: Show, label: str | None) -> bytes:
    """A read by name with any ``content``, by label or not."""
    return _one(version, show, with_author=False, label=label)


def _one(version: Version, show: Show, *, with_author: bool, label: str | None = None) -> bytes:
    before, after = standing(version, with_author=with_author, deleted=version.deleted)
    labels = b',"labels":' + encode(version.labels)
    content = _content(_details.decode(version.details), version.body, show, with_size=show != "full")
    return b"".join((b"{", before, b",", content, after, labels, named_by(label), b"}"))


def row(item: Row, show: Show, label: str | None, *, deleted: bool = False) -> bytes:
    """A prompt as a list shows it; ``label`` when the list is of the versions that it points to."""
    before, after = standing(item, deleted=deleted)
    content = _content(_details.decode(item.details), item.body, show, with_size=True)
    return b"".join(
        (b"{", before, b",", content, after, b',"all_labels":', item.labels or b"[]", named_by(label), b"}")
    )


def _content(details: Details, body: bytes | None, show: Show, *, with_size: bool) -> bytes:
    parts = []
    if show == "full":
        parts += [b'"prompt":', body or b"null", b',"config":', bytes(details.config), b","]
    elif show == "preview":
        parts += [b'"prompt_preview":', encode(details.preview), b","]
    if with_size:
        parts.append(b'"prompt_size_bytes":%d,' % details.size)
    parts += [b'"version_description":', encode(details.version_description), b","]
    return b"".join(parts)
