"""How an append can fail. All of these mean: nothing of that commit was written."""

from uuid import UUID


class AppendError(Exception):
    """Base of the errors below."""


class StreamConflict(AppendError):
    """Another writer appended to the stream first: load it again and decide again."""

    def __init__(self, streams: tuple[UUID, ...] = ()) -> None:
        super().__init__("the stream has moved on")
        self.streams = streams


class NameConflict(AppendError):
    """Another stream of the project claimed the name first."""


class CommandRepeated(AppendError):
    """A commit with the same idempotency key is already in the log."""


class StorageFull(AppendError):
    """The disk of the database has no room for it; reads go on."""


class AppenderBusy(AppendError):
    """The queue is full or the appender cannot reach the database; try again after a moment."""
