"""Events of the log as CloudEvents 1.0, and the JSON Schema of each type.

Contents are not in an event: it holds digests and sizes, and links to where the content is read.
"""

from typing import Any

import msgspec

from domain.events import EVENT_TYPES, Event
from domain.labels import LabelSet
from domain.versioned import VersionEvent
from projections.encoding import timestamp
from store.log import Recorded
from store.mapper import decode

SOURCE = "/api/projects/{project_id}"
RESOURCES = {"skill": "llm_skills", "prompt": "llm_prompts"}
ENVELOPE = ("originator_id", "originator_version")


class Cloudevent(msgspec.Struct, omit_defaults=True):
    """One event. ``position``, ``actor``, ``keyid``, ``correlationid`` and ``commandid`` are extension attributes."""

    specversion: str
    id: str
    source: str
    type: str
    subject: str
    time: str
    datacontenttype: str
    dataschema: str
    position: int
    data: dict[str, Any]
    actor: int | None = None
    keyid: str | None = None
    commandid: str | None = None
    correlationid: str | None = None


def type_of(topic: str) -> str:
    """``skill.published`` as ``skald.skill.published.v1``."""
    return f"skald.{topic}.v{EVENT_TYPES[topic].SCHEMA}"


def topic_of(type_: str) -> str | None:
    """The topic behind a type, None for a type that does not exist."""
    return next((topic for topic in EVENT_TYPES if type_of(topic) == type_), None)


def schema_path(topic: str) -> str:
    return f"/schema/events/{type_of(topic)}.json"


def subject_of(kind: str, name: str) -> str:
    """``skill/pdf-forms``."""
    return f"{kind}/{name}"


def cloudevent(recorded: Recorded, kind: str, name: str) -> Cloudevent:
    """The CloudEvent of a recorded event of a skill or prompt that has (or had) the name."""
    event = decode(recorded.topic, recorded.state)
    source = SOURCE.format(project_id=recorded.project_id)
    return Cloudevent(
        specversion="1.0",
        id=str(recorded.position),
        source=source,
        type=type_of(recorded.topic),
        subject=subject_of(kind, name),
        time=timestamp(recorded.recorded_at),
        datacontenttype="application/json",
        dataschema=schema_path(recorded.topic),
        position=recorded.position,
        data=data_of(event, source, kind, name),
        actor=recorded.actor_id,
        keyid=None if recorded.key_id is None else str(recorded.key_id),
        commandid=str(recorded.command_id),
        correlationid=recorded.correlation_id,
    )


def data_of(event: Event, source: str, kind: str, name: str) -> dict[str, Any]:
    """The fields of the event, the stream that it belongs to, and links to what it is about."""
    fields: dict[str, Any] = msgspec.to_builtins(event, str_keys=True)
    for field in ENVELOPE:
        del fields[field]
    here = f"{source}/{RESOURCES[kind]}/name/{name}/"
    links = {"self": here}
    if isinstance(event, VersionEvent | LabelSet):
        links["version"] = f"{here}?version={event.number}"
    return {
        "name": name,
        "stream_id": str(event.originator_id),
        "stream_version": event.originator_version,
        **({"number": 1} if isinstance(event, VersionEvent) else {}),
        **fields,
        "links": links,
    }


def schemas() -> dict[str, dict[str, Any]]:
    """The JSON Schema of ``data`` for each type of a project's feed."""
    found = {}
    for topic, cls in EVENT_TYPES.items():
        if topic.partition(".")[0] in RESOURCES:
            found[type_of(topic)] = _schema(cls)
    return found


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
    required = [key for key in schema.get("required", []) if key not in ENVELOPE]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"/schema/events/{type_of(cls.TOPIC)}.json",
        "title": type_of(cls.TOPIC),
        "description": (cls.__doc__ or "").strip(),
        "type": "object",
        "properties": properties,
        "required": ["name", "stream_id", "stream_version", *required, "links"],
        "$defs": components,
    }
