"""References: marks in a text prompt that a read by name replaces with the text of another prompt of the project.

``@@@prompt:name=tone|version=3@@@`` names a version, ``@@@prompt:name=tone|label=production@@@`` what a label points to. What
does not have exactly this form is text.
"""

import re
from collections.abc import Iterable, Mapping

import msgspec

from domain.errors import Conflict, Invalid
from domain.names import LABEL, MAX_LABEL, MAX_PROMPT_NAME, PROMPT_NAME

MAX_REFERENCES = 20  # marks in one prompt; each costs its reader a look-up
MAX_NUMBER = 2**31 - 1

BEGIN = "@@@prompt:"
MARK = re.compile(
    rf"@@@prompt:name=({PROMPT_NAME.pattern})\|(?:version=([1-9][0-9]{{0,9}})|label=({LABEL.pattern}))@@@",
    re.ASCII,
)


class Reference(msgspec.Struct, frozen=True):
    """Either ``version`` or ``label`` is given."""

    name: str
    version: int | None = None
    label: str | None = None

    def __str__(self) -> str:
        pick = f"label={self.label}" if self.version is None else f"version={self.version}"
        return f"{BEGIN}name={self.name}|{pick}@@@"


class ReferencedBy(msgspec.Struct, frozen=True):
    """A version of a prompt that is the latest or has a label; ``label`` is one that it has."""

    name: str
    version: int
    label: str | None


class Referenced(Conflict):
    """Prompts that are in use would lose what they refer to."""

    code = "referenced"

    def __init__(self, what: str, by: Iterable[ReferencedBy]) -> None:
        named = [msgspec.structs.asdict(one) for one in by]
        super().__init__(
            f"{what} is referenced by {', '.join(sorted({one['name'] for one in named}))}; change that first.",
            referenced_by=named,
        )


def text_of(prompt: bytes) -> str | None:
    """The text of a prompt that may have marks; None of most, whose text is then not even decoded."""
    if prompt[:1] != b'"' or b"@@@prompt:name=" not in prompt:
        return None
    return msgspec.json.decode(prompt, type=str)


def found_in(prompt: bytes) -> tuple[Reference, ...]:
    """What a prompt refers to, each once, in the order of its marks; nothing when there are too many. ``prompt`` is compact JSON."""
    marks = _marks(prompt)
    return tuple(dict.fromkeys(marks)) if len(marks) <= MAX_REFERENCES else ()


def check(prompt: bytes, *, attr: str = "prompt") -> tuple[Reference, ...]:
    """The same of a prompt that is to be published. Raises Invalid when it has too many marks."""
    marks = _marks(prompt)
    if len(marks) > MAX_REFERENCES:
        raise Invalid(
            f"A prompt refers to others in at most {MAX_REFERENCES} places; this does so in {len(marks):,}.",
            code="max_length",
            attr=attr,
        )
    return tuple(dict.fromkeys(marks))


def resolved(text: str, texts: Mapping[Reference, str]) -> str:
    """``text`` with each mark replaced; one that is not in ``texts`` stays."""

    def replaced(mark: re.Match[str]) -> str:
        reference = _reference(mark)
        return mark[0] if reference is None else texts.get(reference, mark[0])

    return MARK.sub(replaced, text)


def _marks(prompt: bytes) -> list[Reference]:
    text = text_of(prompt)
    return (
        [] if text is None else [one for mark in MARK.finditer(text) if (one := _reference(mark)) is not None]
    )


def _reference(mark: re.Match[str]) -> Reference | None:
    name, version, label = mark[1], mark[2], mark[3]
    if len(name) > MAX_PROMPT_NAME or (label is not None and len(label) > MAX_LABEL):
        return None
    if version is None:
        return Reference(name, label=label)
    return Reference(name, version=int(version)) if int(version) <= MAX_NUMBER else None
