"""What an import takes from elsewhere, whatever it is: artifacts, each with its versions from the first to the newest.

A source is hostile: it may send any text, of any size, without end. Texts are read one version at a time.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, runtime_checkable

import msgspec

from cli.errors import Failure
from cli.importing import notes
from domain.artifacts.skills import SkillFields

# Artifacts of one source, and versions of one artifact: more than any registry has, so that a list without an end has one.
MAX_ARTIFACTS = 100_000
MAX_VERSIONS = 100_000

MAX_CALLED = 80  # characters of what the source calls something that cannot be read

# Bytes of one version as it is read, files included: what a request to the service may have, less the quarter that base64 adds.
MAX_VERSION_BYTES = 24 * 2**20


class Unusable(Failure):
    """A version that cannot be brought, and why; the others are."""

    code = "unusable"


class SkillText(msgspec.Struct, frozen=True):
    """A version of a skill: ``fields`` with the lines of the frontmatter that no field has, files with content and type.

    ``note`` is what its author wrote beside it.
    """

    fields: SkillFields
    body: str
    files: tuple[tuple[str, bytes, str], ...]
    note: str = ""


class PromptText(msgspec.Struct, frozen=True):
    """A version of a prompt: JSON as it was sent; ``config`` null for none."""

    prompt: msgspec.Raw
    config: msgspec.Raw
    note: str = ""


Text = SkillText | PromptText


class SourceVersion(msgspec.Struct, frozen=True, kw_only=True):
    """``number`` is what the source calls it, ``name`` what the artifact was ``called`` then, as the registry can have it; ``yanked``
    is why it should not be used any more."""

    number: str
    name: str
    called: str
    author: str
    mail: str
    time: str
    yanked: str = ""
    load: Callable[[], Text]


class SourceArtifact(msgspec.Struct, kw_only=True):
    """``name`` is a name that the registry takes, ``called`` what the source calls it, ``place`` where that is unless by its name.

    ``earlier`` are names of before, newest first. ``broken`` is why the source cannot be read here, and nothing else of it counts.
    ``newest`` is the time of the newest version where the list of the source tells it, else "". ``labels`` lead to numbers.
    """

    kind: str
    name: str
    called: str
    versions: Callable[[], Sequence[SourceVersion]]
    place: str = ""
    count: int = 0
    newest: str = ""
    earlier: tuple[str, ...] = ()
    labels: dict[str, str] = {}
    tags: tuple[str, ...] = ()
    broken: Failure | None = None

    @property
    def key(self) -> tuple[str, str]:
        return self.kind, self.place or self.called


def unreadable(number: int, name: str, called: str, failure: Failure) -> SourceVersion:
    """What stands for a version that the source does not tell right."""

    def load() -> Text:
        raise Unusable(str(failure), code=failure.code)

    time = notes.instant(None, str(number))
    return SourceVersion(
        number=str(number), name=name, called=called, author="", mail="", time=time, load=load
    )


def broken(kind: str, row: object, place: str, failure: Failure) -> SourceArtifact:
    """What stands for a row of a list that cannot be read, at this place in it."""
    called = row.get("name") if isinstance(row, dict) else None
    shown = called if isinstance(called, str) else ""
    return SourceArtifact(
        kind=kind, name="", called=shown[:MAX_CALLED], place=place, versions=tuple, broken=failure
    )


class Source(Protocol):
    """``title`` is what people call it; it holds no key."""

    title: str

    def artifacts(self) -> Iterator[SourceArtifact]: ...

    def close(self) -> None: ...


@runtime_checkable
class TellsAll(Source, Protocol):
    """One that also tells, by kind and name, what had a version yanked, and of what is archived the time of its first version."""

    kinds: Sequence[str]

    def yanked_ever(self) -> set[tuple[str, str]]: ...

    def archived(self, kind: str) -> set[tuple[str, str]]: ...
