"""What the read models make of each kind: its rows, its representations, what a search and a comparison look at."""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from domain.artifacts.references import Reference
from domain.artifacts.versioned import Versioned
from projections.read.prompts import PromptKind
from projections.read.sides import Side
from projections.read.skills import SkillKind
from projections.read.versions import Version
from projections.write import artifacts


class Kind(artifacts.Kind, Protocol):
    """One kind: its rows (see ``projections.write.artifacts.Kind``), and how they are read."""

    @property
    def aggregate(self) -> type[Versioned]: ...

    @property
    def read(self) -> Callable[[Version], bytes]:
        """The JSON that a read by name answers."""
        ...

    def references(self, version: Version) -> Sequence[Reference]:
        """What a read by name has to look up beside the version."""
        ...

    def resolved(self, version: Version, label: str | None, texts: Mapping[Reference, Version]) -> bytes:
        """The JSON that it answers then, by label or not; ``texts`` has those that were found."""
        ...

    @property
    def write(self) -> Callable[[Version], bytes]:
        """The JSON that a write answers."""
        ...

    @property
    def searched(self) -> str:
        """The column of a version whose content has what a search looks through, beside the name: body or details."""
        ...

    def searched_text(self, data: bytes) -> str:
        """That text, out of the content of this column."""
        ...

    def side(self, version: Version) -> Side:
        """What is compared of a version."""
        ...

    def readable(self, data: bytes) -> str | None:
        """A content, as lines are compared in it; None when it is no text."""
        ...


KINDS: Mapping[str, Kind] = {kind.aggregate.KIND: kind for kind in (SkillKind(), PromptKind())}
