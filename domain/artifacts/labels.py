"""Labels: names of a stream's own that point to one of its versions, and may be moved."""

from uuid import UUID

from domain.errors import NotFound
from domain.events import Event

MAX_LABELS = 100  # of one artifact; each list row and each answer shows all of them


class LabelSet(Event, frozen=True, kw_only=True):
    """``label`` points to version ``number`` from here on; ``promotion_id`` is that of the promotion that has moved it."""

    label: str
    number: int
    promotion_id: UUID | None = None


class LabelRemoved(Event, frozen=True, kw_only=True):
    label: str


def no_label(kind: str, name: str, label: str) -> NotFound:
    return NotFound(f"The {kind} '{name}' has no label '{label}'.")
