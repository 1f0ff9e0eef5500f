"""How an append can fail, and what is the matter with the database when it does.

All append errors mean: nothing of that commit was written.
"""

import re
from typing import NamedTuple

import psycopg
from eventsourcing.persistence import MapperDeserialisationError


class AppendError(Exception):
    """Base of the errors below."""


class StreamConflict(AppendError):
    """The stream is not as the writer believes, most times because another one was first: load it again and decide again."""

    def __init__(self, reason: str = "the stream has moved on") -> None:
        super().__init__(reason)


class NameConflict(AppendError):
    """Another stream of the project claimed the name first."""


class CommandRepeated(AppendError):
    """A commit with the same idempotency key is already in the log."""


class StorageFull(AppendError):
    """The disk of the database has no room for it; reads go on."""


class AppenderBusy(AppendError):
    """The queue is full or the appender cannot reach the database; try again in a second."""


class LaterRelease(MapperDeserialisationError):
    """The log has an event that this release does not know: a host of a later one has written it."""


class Trouble(NamedTuple):
    """What is the matter with the database: a sentence for callers, without internals, and when to try again (seconds)."""

    reason: str
    retry_after: int
    # Whether the server has said so to a statement: then nothing of its transaction was written.
    refusal: bool = True


SOON, LATER = 1, 10  # seconds: what passes by itself, and what an operator must mend

NO_CONNECTION = Trouble(
    "The database has no connection to spare now; try again shortly.", SOON, refusal=False
)
STARTING = Trouble("The database is starting or stopping; try again shortly.", SOON, refusal=False)
NO_RIGHT = Trouble("The service lacks a right in its database; its operator must grant it.", LATER)
AWAY = Trouble("The service cannot reach its database now; try again shortly.", SOON, refusal=False)
TROUBLES = {
    "25006": Trouble("The database is read-only now: nothing can be changed, reading goes on.", LATER),
    "42501": NO_RIGHT,
    "53100": Trouble("The disk of the database is full: nothing can be written, reading goes on.", LATER),
    "53200": Trouble("The database is out of memory; try again shortly.", SOON),
    "53300": NO_CONNECTION,
    "53400": Trouble("The database has reached a limit that its operator has set; try again shortly.", SOON),
    "55P03": Trouble("The database could not get a lock in time; try again shortly.", SOON),
    "57014": Trouble("The database ended this because it took too long; try again shortly.", SOON),
    "57P03": STARTING,
}
OUTDATED = Trouble(
    "A later release has written here, which this host does not understand; its operator must upgrade it.",
    LATER,
)
# A connection that is refused comes without a code, with the server's sentence alone.
SENTENCES = (
    (re.compile("too many clients|too many connections|remaining connection slots"), NO_CONNECTION),
    (
        re.compile("is starting up|is shutting down|in recovery mode|not (yet )?accepting connections"),
        STARTING,
    ),
    (re.compile("permission denied for database"), NO_RIGHT),
)


def trouble(error: BaseException) -> Trouble | None:
    """The trouble of the database that an error tells of; None for every other error."""
    if isinstance(error, LaterRelease):
        return OUTDATED
    if isinstance(error, AppenderBusy):
        return (error.__cause__ and trouble(error.__cause__)) or AWAY
    if not isinstance(error, psycopg.Error):
        return None
    if (found := TROUBLES.get(error.sqlstate or "")) is not None:
        return found
    if not isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
        return None
    text = str(error)
    return next((found for sentence, found in SENTENCES if sentence.search(text)), AWAY)
