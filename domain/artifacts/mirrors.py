"""The mirror of a project: what it is kept equal to, and the one key that may write to it meanwhile."""

from typing import ClassVar, Self
from uuid import UUID, uuid5

import msgspec

from domain.errors import NotFound, PermissionDenied
from domain.events import Event, event

KIND = "mirror"  # in topics and subjects
SCOPE = "project:admin"

MAX_SOURCE = 500  # characters

# A project has one stream of being a mirror, which is known by the number of the project alone.
STREAMS = UUID("0195c2e0-5a11-7c02-8f3e-9d1b6a0c2f48")


@event
class MirrorBegun(Event, frozen=True, kw_only=True):
    """From here on the project follows ``source``, and the key ``writer_id`` alone writes to it."""

    TOPIC: ClassVar[str] = "mirror.begun"

    source: str
    writer_id: UUID


@event
class MirrorEnded(Event, frozen=True, kw_only=True):
    """The project is one like any other again."""

    TOPIC: ClassVar[str] = "mirror.ended"


TOPICS = (MirrorBegun.TOPIC, MirrorEnded.TOPIC)


class Mirror(msgspec.Struct, kw_only=True):
    """Whether a project is a mirror: ``source`` and ``writer_id`` None while it is none. ``version`` is 0 when it never was one."""

    id: UUID
    version: int = 0
    source: str | None = None
    writer_id: UUID | None = None
    pending: tuple[Event, ...] = ()

    @classmethod
    def of_project(cls, project_id: int) -> Self:
        """The stream before its first event."""
        return cls(id=stream_of(project_id))

    def fork(self) -> Self:
        """An independent copy to decide on."""
        return msgspec.structs.replace(self)

    def begin(self, source: str, writer_id: UUID) -> bool:
        """Follow ``source`` from now on, written by that key; False when it was a mirror already."""
        known = self.source is not None
        if (self.source, self.writer_id) != (source, writer_id):
            self._trigger(
                MirrorBegun(
                    originator_id=self.id,
                    originator_version=self.version + 1,
                    source=source,
                    writer_id=writer_id,
                )
            )
        return known

    def end(self) -> None:
        """Raises NotFound."""
        if self.source is None:
            raise no_mirror()
        self._trigger(MirrorEnded(originator_id=self.id, originator_version=self.version + 1))

    def check_writer(self, key_id: UUID) -> None:
        """Raises PermissionDenied when another key alone may write."""
        if self.source is not None and key_id != self.writer_id:
            raise PermissionDenied(
                f"This project is a mirror of {self.source}, which alone changes it: write there, or end that by "
                "`skald mirror end`.",
                code="mirror",
            )

    def evolve(self, event: Event) -> None:
        """Fold one event into the state. Raises ValueError on an event out of order or of another stream."""
        if event.originator_id != self.id or event.originator_version != self.version + 1:
            raise ValueError(
                f"{event.TOPIC} {event.originator_version} does not follow version {self.version} of {self.id}"
            )
        match event:
            case MirrorBegun():
                self.source, self.writer_id = event.source, event.writer_id
            case MirrorEnded():
                self.source = self.writer_id = None
            case _:
                raise ValueError(f"a mirror has no event {event.TOPIC}")
        self.version = event.originator_version

    def _trigger(self, event: Event) -> None:
        self.evolve(event)
        self.pending = (*self.pending, event)


def no_mirror() -> NotFound:
    return NotFound("This project is no mirror.")


def stream_of(project_id: int) -> UUID:
    """The stream of being a mirror of a project."""
    return uuid5(STREAMS, str(project_id))
