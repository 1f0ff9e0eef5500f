"""Yanked versions: what should not be taken any more. They stay and are read by their number; latest, labels and lists pass over them."""

from collections.abc import Collection
from uuid import UUID

import msgspec

from domain.errors import Conflict
from domain.events import Event

MAX_REASON = 400  # characters, as a note of a promotion: why, not a discussion


class Latest(msgspec.Struct, frozen=True):
    """The version that an event makes the latest one, and what it is made of, so that the fold looks at no earlier event.

    ``name`` is what the artifact was called when the version was the latest one last: its package says so until now.
    """

    number: int
    version_id: UUID
    name: str


class VersionYanked(Event, frozen=True, kw_only=True):
    """Version ``number`` should not be used any more, for a ``reason``. ``latest`` is there when another one is the latest by it."""

    number: int
    reason: str
    latest: Latest | None = None


class VersionUnyanked(Event, frozen=True, kw_only=True):
    """Version ``number`` is one like any other again. ``latest`` is there when it is the latest one by it."""

    number: int
    latest: Latest | None = None


YankEvent = VersionYanked | VersionUnyanked


class LastVersion(Conflict):
    """The only version that is not yanked: without it there is nothing that the name could show."""

    code = "last_version"

    def __init__(self, kind: str, name: str, number: int) -> None:
        super().__init__(
            f"Version {number} is the only one of the {kind} '{name}' that is not yanked; publish another version first, "
            f"or archive the {kind}."
        )


class LabelsYanked(Conflict):
    """A label may not be moved to a version that is yanked."""

    code = "yanked"

    def __init__(self, kind: str, name: str, number: int) -> None:
        super().__init__(
            f"Version {number} of the {kind} '{name}' is yanked: point the label to another one, or unyank it first."
        )


def newest(highest: int, yanked: Collection[int]) -> int:
    """The newest version, of those up to ``highest``, that is not yanked; 0 when all are."""
    number = highest
    while number in yanked:
        number -= 1
    return number
