"""The log as a persistence module of the ``eventsourcing`` library: ``PERSISTENCE_MODULE=store.eventsourcing``."""

from store.eventsourcing.factory import Factory

__all__ = ["Factory"]
