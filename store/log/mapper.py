"""Events to bytes and back, by msgspec."""

from typing import Any

import msgspec
from eventsourcing.persistence import MapperDeserialisationError, StoredEvent

from domain.events import EVENT_TYPES, Event
from store.errors import LaterRelease


class Shape(msgspec.Struct):
    """The part of a state that says which shape it has; absent means the first."""

    schema: int = 1


SHAPED = b'{"schema":'  # how a state begins that has not the first shape

_encoder = msgspec.json.Encoder()
_shapes = msgspec.json.Decoder(Shape)
_decoders: dict[type[Event], msgspec.json.Decoder[Event]] = {}


def encode(event: Event) -> bytes:
    state = _encoder.encode(event)
    if event.SCHEMA > 1:
        state = SHAPED + b"%d," % event.SCHEMA + state[1:]
    return state


def decode(topic: str, state: bytes) -> Event:
    """Raises LaterRelease on a topic or shape of a later release, MapperDeserialisationError on a state of no known shape."""
    cls = EVENT_TYPES.get(topic)
    if cls is None:
        raise LaterRelease(f"no event type has the topic {topic!r}: a later release has written it")
    try:
        if (cls.SCHEMA > 1 or state.startswith(SHAPED)) and (
            shape := _shapes.decode(state).schema
        ) != cls.SCHEMA:
            return _upcast(cls, state, shape)
        decoder = _decoders.get(cls)
        if decoder is None:
            decoder = _decoders[cls] = msgspec.json.Decoder(cls)
        return decoder.decode(state)
    except msgspec.MsgspecError as error:
        raise MapperDeserialisationError(f"{topic}: {error}") from error


def _upcast(cls: type[Event], state: bytes, shape: int) -> Event:
    if shape > cls.SCHEMA:
        raise LaterRelease(f"{cls.TOPIC}: shape {shape} is of a later release")
    fields: dict[str, Any] = msgspec.json.decode(state)
    while shape < cls.SCHEMA:
        try:
            fields = cls.UPCASTERS[shape](fields)
        except Exception as error:
            raise MapperDeserialisationError(f"{cls.TOPIC}: no shape {shape}: {error!r}") from error
        shape += 1
    return msgspec.convert(fields, cls, str_keys=True)


def to_stored(event: Event) -> StoredEvent:
    return StoredEvent(event.originator_id, event.originator_version, event.TOPIC, encode(event))
