"""Events of the operators' work on a whole database."""

from typing import ClassVar

from domain.events import Event, event


@event
class ReadModelsReplaced(Event, frozen=True, kw_only=True):
    """Tables were replaced by what the log says, because they differed from it."""

    TOPIC: ClassVar[str] = "models.replaced"

    tables: tuple[str, ...]
