"""What the editor knows of a kind of artifact, and what the kinds share of it."""

from collections.abc import Iterable, Mapping
from typing import Any, Literal, NamedTuple, Protocol

import msgspec

from api.artifacts.common import Command
from api.http.context import RequestContext
from api.payload.decode import decode
from console.editing.drafts import Draft, plain
from console.text.visible import HIDDEN
from domain.artifacts.tags import SEPARATOR
from domain.errors import Invalid, Refused
from domain.json_text import compact, has_surrogates, parse
from projections.compare.diff import Comparison
from projections.read.sides import Side
from projections.read.versions import Version
from projections.write import names

JSON = b"application/json"
MAX_NAMED = 3  # places of what cannot be seen that are named

Shape = Literal["line", "text", "lines", "json", "tags"]


class Field(NamedTuple):
    """A field of the form; ``lines`` have a value each, ``tags`` stand between commas."""

    name: str
    words: str
    shape: Shape
    hint: str = ""

    def json(self, text: str) -> bytes:
        """What the API would be sent for the text. Raises Invalid for what is no JSON."""
        if self.shape == "json":
            return checked_json(text)
        if self.shape == "lines":
            return msgspec.json.encode([line.strip() for line in text.split("\n") if line.strip()])
        if self.shape == "tags":
            return msgspec.json.encode([tag.strip() for tag in text.split(SEPARATOR)])
        return msgspec.json.encode(text)


class Problem(NamedTuple):
    """What is wrong with a field (an error keeps it from being published), or should be looked at; ``field`` is empty for all of it."""

    severity: Literal["error", "warning"]
    field: str
    message: str


class State(NamedTuple):
    """A draft as one side of a comparison, and its contents by digest as far as they are in no log."""

    side: Side
    contents: dict[bytes, bytes]


class Editing(Protocol):
    """One kind. ``before`` is the version that a draft starts from, as a draft; None for what is new."""

    @property
    def fields(self) -> tuple[Field, ...]: ...

    def empty(self) -> Draft: ...

    def opened(self, version: Version) -> Draft:
        """The version as a draft that changes nothing."""
        ...

    def check(self, draft: Draft) -> list[Problem]:
        """By the rules of the API, every field; it may take a while."""
        ...

    async def check_around(self, context: RequestContext, draft: Draft) -> list[Problem]:
        """What depends on others, of a draft that has no errors of its own."""
        ...

    def state(self, draft: Draft) -> State:
        """Of a draft without errors."""
        ...

    def command(self, context: RequestContext, name: str, draft: Draft, before: Draft | None) -> Command:
        """What publishes a draft without errors."""
        ...


def checked_json(text: str) -> bytes:
    """The text as JSON. Raises Invalid unless it is one value."""
    raw = text.encode("utf-8", "surrogatepass")
    try:
        value = parse(raw)
    except (ValueError, RecursionError) as error:
        raise Invalid(f"This is no valid JSON: {error}.") from None
    if has_surrogates(raw, value):
        raise Invalid("Lone surrogates are not allowed: they stand for no character.")
    return compact(raw)


def decoded(struct: type[Any], sent: Mapping[str, bytes], *, any_number: bool = False) -> Any:
    """The fields as the API reads them, each JSON. Raises what a request with them would be refused by."""
    body = b"{" + b",".join(b'"%b":%b' % (name.encode(), value) for name, value in sent.items()) + b"}"
    return decode(struct, body, JSON, any_number=any_number)


def problem_of(error: Refused, field: str) -> Problem:
    return Problem("error", field, error.detail)


def checked(
    struct: type[Any], fields: Iterable[Field], draft: Draft, *, any_number: bool = False
) -> list[Problem]:
    """What is wrong with each of the fields."""
    found = []
    for field in fields:
        try:
            text = draft.fields[field.name]
            if field.shape != "json" or text.strip():
                decoded(struct, {field.name: field.json(text)}, any_number=any_number)
        except Refused as error:
            found.append(problem_of(error, field.name))
    return found


def unseen(field: str, text: str) -> list[Problem]:
    """Characters that no page shows, and that turn the direction of writing: an agent reads them all the same."""
    found: list[Problem] = []
    for place in HIDDEN.finditer(plain(text)):
        if len(found) == MAX_NAMED:
            found.append(Problem("warning", field, "There are more characters that cannot be seen."))
            break
        line = text.count("\n", 0, place.start()) + 1
        found.append(
            Problem(
                "warning", field, f"Line {line} has a character that cannot be seen: U+{ord(place[0]):04X}."
            )
        )
    return found


async def taken(context: RequestContext, kind: str, name: str) -> list[Problem]:
    """Whether a new one may have the name."""
    async with context.services.pool.connection() as conn:
        holder = await names.holder(conn, context.project_id, kind, name)
    return [] if holder is None else [Problem("error", "name", f"A {kind} named '{name}' exists already.")]


def changed(draft: Draft, before: Draft | None) -> set[str]:
    """The names of fields whose text is another one, ``text`` too."""
    if before is None:
        return {"text", *draft.fields}
    found = {name for name, text in draft.fields.items() if plain(text) != plain(before.fields[name])}
    if draft.is_json != before.is_json or plain(draft.text) != plain(before.text):
        found.add("text")
    return found


def is_empty(comparison: Comparison) -> bool:
    """Whether nothing differs that a version is made of."""
    metadata = comparison.metadata
    return not (
        comparison.fields
        or metadata.added
        or metadata.removed
        or metadata.changed
        or comparison.text
        or comparison.files
    )
