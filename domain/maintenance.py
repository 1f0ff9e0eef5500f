"""Events of the operators' work on a whole database."""

from typing import ClassVar

from domain.events import Event, event


@event
class ReadModelsReplaced(Event, frozen=True, kw_only=True):
    """Tables were replaced by what the log says, because they differed from it."""

    TOPIC: ClassVar[str] = "models.replaced"

    tables: tuple[str, ...]


@event
class LogRewound(Event, frozen=True, kw_only=True):
    """The log may have gone back: it is what it was up to the position ``shared``, and a new history begins with this event.

    ``known``: the last position that is known to have been given before. What stood from there back to ``shared`` is gone.
    """

    TOPIC: ClassVar[str] = "log.rewound"

    shared: int
    known: int
