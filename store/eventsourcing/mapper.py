"""Skald's events for the ``eventsourcing`` library: they have ids and versions as its protocol requires, and topics of their own."""

from typing import Any

from eventsourcing.persistence import Mapper, StoredEvent

# Each registers its events.
from domain import keys, maintenance, shares  # noqa: F401
from domain.artifacts import kinds  # noqa: F401
from domain.events import Event
from store.log.mapper import decode, to_stored


class EventMapper(Mapper[Any]):
    """Yields the classes of ``domain``, old shapes brought up to date, for ``singledispatch`` to choose by.

    An application's own events are the library's: their topics name a class and have a colon, which Skald's never have.
    Transcoder, compressor and cipher are for those alone. Raises MapperDeserialisationError on a topic of a newer release.
    """

    def to_stored_event(self, domain_event: Any) -> StoredEvent:
        return (
            to_stored(domain_event)
            if isinstance(domain_event, Event)
            else super().to_stored_event(domain_event)
        )

    def to_domain_event(self, stored_event: StoredEvent) -> Any:
        if ":" in stored_event.topic:
            return super().to_domain_event(stored_event)
        return decode(stored_event.topic, stored_event.state)
