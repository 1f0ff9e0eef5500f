"""Events of the log as CloudEvents 1.0, and the JSON Schema of each type.

Contents are not in an event: it holds digests and sizes, and links to where the content is read.
"""

import re
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from functools import cache, lru_cache
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import msgspec

from domain.artifacts import mirrors, policies
from domain.artifacts.kinds import KINDS, kind_of
from domain.artifacts.labels import LabelSet
from domain.artifacts.promotions import PromotionRequested
from domain.artifacts.versioned import VersionEvent
from domain.artifacts.yanks import VersionUnyanked, VersionYanked
from domain.events import EVENT_TYPES, Event
from domain.maintenance import LogRewound
from projections.encoding import timestamp
from store.log.log import Recorded
from store.log.mapper import decode, encode

ENVELOPE = ("originator_id", "originator_version")

# Their number comes first in their state, and is that of the version which they are about.
NUMBERED = (VersionEvent, VersionYanked, VersionUnyanked)

# Where the policies of a project are read, and what it is a mirror of.
OF_THE_PROJECT = {policies.KIND: "label-policies/", mirrors.KIND: "mirror/"}

# How the state of an event begins: its shape, stream and, of a version, number; what is behind it are its other fields.
BEGINNING = re.compile(
    rb'\{(?:"schema":([0-9]+),)?"originator_id":"([^"]+)","originator_version":[0-9]+(?:,"number":([0-9]+))?'
)


class Cloudevent(msgspec.Struct, omit_defaults=True):
    """One event. ``position``, ``history``, ``actor``, ``keyid``, ``correlationid`` and ``commandid`` are extension attributes.

    ``history`` is where the history of the event begins, absent in the first one.
    """

    specversion: str
    id: str
    source: str
    type: str
    subject: str
    time: str
    datacontenttype: str
    position: int
    data: dict[str, Any]
    history: int | None = None
    dataschema: str | None = None
    actor: int | None = None
    keyid: str | None = None
    commandid: str | None = None
    correlationid: str | None = None


class _Shape(msgspec.Struct, frozen=True):
    """What all events of one topic share. ``number`` is the schema version as states have it."""

    type: str
    path: str
    number: bytes
    named: bool
    versioned: bool
    labelled: bool


class _Numbered(msgspec.Struct):
    number: int


_numbers = msgspec.json.Decoder(_Numbered)
_text = msgspec.json.Encoder().encode


def type_of(topic: str) -> str:
    """``skill.published`` as ``skald.skill.published.v1``."""
    return f"skald.{topic}.v{EVENT_TYPES[topic].SCHEMA}"


def topic_of(type_: str) -> str | None:
    """The topic behind a type of a project's feed, None for a type that does not exist there."""
    return topic_among(feed_topics(), type_)


def topic_among(topics: Iterable[str], type_: str) -> str | None:
    """The one whose type is ``type_``."""
    return next((topic for topic in topics if type_of(topic) == type_), None)


def no_type(type_: str, topics: Sequence[str]) -> str:
    """The sentence that ``type_`` is none of ``topics``, with the one that is nearest."""
    types = [type_of(topic) for topic in topics]
    short = [type_of(topic) for topic in topics if topic == type_]
    near = short or get_close_matches(type_, types, 1, cutoff=0.6)
    return f"There is no event type '{type_}'; " + (f"is it '{near[0]}'?" if near else f"{types[0]} is one.")


def schema_path(topic: str) -> str:
    return f"/schema/events/{type_of(topic)}.json"


def subject_of(kind: str, name: str) -> str:
    """``skill/pdf-forms``."""
    return f"{kind}/{name}"


def cloudevent_json(recorded: Recorded, kind: str, name: str, base: str = "", history: int = 0) -> bytes:
    """The CloudEvent of a recorded event of a skill or prompt that has (or had) the name, of the policy of a label, or of a mirror. The fields are copied as they stand in the log: a feed decodes nothing.

    ``base`` is the address of this service (``https://host/skald``): links have its path before them. Without it ``dataschema``,
    which must be absolute, is left out. ``source`` is a name and no address: it is the same by every way. ``history`` is where
    the history of the event begins, 0 for the first one.
    """
    if recorded.topic == LogRewound.TOPIC:
        return _rewound(recorded, base)
    shape, state = _shape(recorded.topic), recorded.state
    begun = BEGINNING.match(state)
    if begun is None or (begun[1] or b"1") != shape.number:
        # Written in an earlier shape of the type.
        state = encode(decode(recorded.topic, state))
        begun = BEGINNING.match(state)
    if begun is None:
        raise ValueError(f"the event at position {recorded.position} does not begin as one")
    stream, number = begun[2].decode(), begun[3]
    position, source = recorded.position, f"/api/projects/{recorded.project_id}"
    # Names need no escapes, neither in JSON nor in an address.
    parts = [
        f'{{"specversion":"1.0","id":"{position}","source":"{source}","type":"{shape.type}",'
        f'"subject":"{kind}/{name}","time":"{timestamp(recorded.recorded_at)}",'
        f'"datacontenttype":"application/json","position":{position}'
    ]
    if history:
        parts.append(f',"history":{history}')
    if base:
        parts.append(f',"dataschema":{_text(base + shape.path).decode()}')
    if recorded.actor_id is not None:
        parts.append(f',"actor":{recorded.actor_id}')
    if recorded.key_id is not None:
        parts.append(f',"keyid":"{_id(recorded.key_id)}"')
    parts.append(f',"commandid":"{recorded.command_id}"')
    if recorded.correlation_id is not None:
        parts.append(f',"correlationid":{_text(recorded.correlation_id).decode()}')
    parts.append(f',"data":{{"stream_id":"{stream}","stream_version":{recorded.stream_version}')
    if not shape.named:
        parts.append(f',"name":"{name}"')
    path = OF_THE_PROJECT.get(kind) or f"{KINDS[kind].RESOURCE}/name/{name}/"
    here = f"{_path_of(base)}{source}/{path}"
    links = f',"links":{{"self":"{here}"'
    if shape.versioned:
        written = number.decode() if number else "1"
        parts.append(f',"number":{written}')
        links += f',"version":"{here}?version={written}"'
    elif shape.labelled:
        links += f',"version":"{here}?version={_numbers.decode(state).number}"'
    return b"".join(("".join(parts).encode(), state[begun.end() : -1], links.encode(), b"}}}"))


def _rewound(recorded: Recorded, base: str) -> bytes:
    """The beginning of a history, which is about no name and news in every project."""
    event = decode(recorded.topic, recorded.state)
    assert isinstance(event, LogRewound)
    source = f"/api/projects/{recorded.project_id}"
    shown = {
        "specversion": "1.0",
        "id": str(recorded.position),
        "source": source,
        "type": type_of(recorded.topic),
        "subject": subject_of("log", "history"),
        "time": timestamp(recorded.recorded_at),
        "datacontenttype": "application/json",
        "position": recorded.position,
        "history": recorded.position,
        **({"dataschema": base + schema_path(recorded.topic)} if base else {}),
        "commandid": str(recorded.command_id),
        "data": {
            "shared": event.shared,
            "known": event.known,
            "links": {"events": f"{_path_of(base)}{source}/events/?after={event.shared}"},
        },
    }
    return _text(shown)


def without_data(event: bytes, recorded: Recorded, base: str = "") -> bytes:
    """A CloudEvent of ``cloudevent_json`` with ``dataref`` in place of ``data``: the page of the feed that holds it alone."""
    # Strings escape their quotes, so this stands nowhere before the data.
    attributes = event.partition(b',"data":')[0]
    page = f"{_path_of(base)}/api/projects/{recorded.project_id}/events/"
    return attributes + f',"dataref":"{page}?after={recorded.position - 1}&limit=1"}}'.encode()


@lru_cache(maxsize=100)
def _path_of(base: str) -> str:
    """All events of an answer have the same."""
    return urlsplit(base).path


@lru_cache(maxsize=1000)
def _id(key_id: UUID) -> str:
    """A key brings many events."""
    return str(key_id)


@cache
def _shape(topic: str) -> _Shape:
    cls = EVENT_TYPES[topic]
    return _Shape(
        type=type_of(topic),
        path=schema_path(topic),
        number=b"%d" % cls.SCHEMA,
        named="name" in cls.__struct_fields__,
        versioned=issubclass(cls, NUMBERED),
        labelled=issubclass(cls, LabelSet | PromotionRequested),
    )


def schemas() -> dict[str, dict[str, Any]]:
    """The JSON Schema of ``data`` for each type of a project's feed."""
    return {type_of(topic): _schema(EVENT_TYPES[topic]) for topic in feed_topics()}


def feed_topics() -> list[str]:
    """The topics of a project's feed."""
    others = (*policies.TOPICS, *mirrors.TOPICS, LogRewound.TOPIC)
    return [topic for topic in EVENT_TYPES if kind_of(topic) or topic in others]


def _schema(cls: type[Event]) -> dict[str, Any]:
    _, components = msgspec.json.schema_components([cls], ref_template="#/$defs/{name}")
    schema = components.pop(cls.__name__)
    properties = {
        "name": {"type": "string"},
        "stream_id": {"type": "string", "format": "uuid"},
        "stream_version": {"type": "integer", "minimum": 1},
        **{key: value for key, value in schema["properties"].items() if key not in ENVELOPE},
        "links": {"type": "object", "additionalProperties": {"type": "string"}},
    }
    if cls is LogRewound:
        for key in ("name", "stream_id", "stream_version"):
            del properties[key]
    numbered = ["number"] if issubclass(cls, VersionEvent) else []
    required = [key for key in schema.get("required", []) if key not in (*ENVELOPE, "name", *numbered)]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"/schema/events/{type_of(cls.TOPIC)}.json",
        "title": type_of(cls.TOPIC),
        "description": (cls.__doc__ or "").strip(),
        "type": "object",
        "properties": properties,
        "required": [
            *(key for key in ("name", "stream_id", "stream_version") if key in properties),
            *numbered,
            *required,
            "links",
        ],
        "$defs": components,
    }
