"""Events as CloudEvents: every type, by the attributes of the specification, and by its own JSON Schema."""

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import jsonschema_rs
import msgspec
import pytest

from domain.artifacts import promoting
from domain.artifacts.kinds import SUBJECT_KINDS
from domain.artifacts.mirrors import Mirror
from domain.artifacts.policies import LabelPolicies
from domain.artifacts.prompts import Prompt, PromptChanges
from domain.artifacts.skills import Changes, File, FileEdits, Skill, SkillFields
from domain.content import Edit
from domain.events import EVENT_TYPES, Event
from projections.events.cloudevents import (
    Cloudevent,
    cloudevent_json,
    schemas,
    topic_of,
    type_of,
)
from store.log.log import Recorded
from store.log.mapper import to_stored
from tests.support.histories import states_after

ROOT = Path(__file__).parents[4]
ORIGIN = "https://skald.example"
SECRET = "the text itself"
KIND = "|".join(SUBJECT_KINDS)

# The required attributes of CloudEvents 1.0 and the optional ones that are sent; names of extensions are a-z and 0-9.
CLOUDEVENT = {
    "type": "object",
    "required": ["specversion", "id", "source", "type", "subject", "time", "datacontenttype", "data"],
    "properties": {
        "specversion": {"const": "1.0"},
        "id": {"type": "string", "pattern": "^[1-9][0-9]*$"},
        "source": {"type": "string", "format": "uri-reference", "minLength": 1},
        "type": {"type": "string", "pattern": rf"^skald\.({KIND})\.[a-z_]+\.v[1-9][0-9]*$"},
        "subject": {"type": "string", "pattern": f"^({KIND})/[A-Za-z0-9_.-]+$"},
        "time": {"type": "string", "format": "date-time", "pattern": r"\.[0-9]{6}Z$"},
        "datacontenttype": {"const": "application/json"},
        "dataschema": {"type": "string", "format": "uri"},
        "data": {"type": "object"},
        "position": {"type": "integer", "minimum": 1},
        "actor": {"type": "integer"},
        "keyid": {"type": "string", "format": "uuid"},
        "commandid": {"type": "string", "format": "uuid"},
        "correlationid": {"type": "string"},
    },
    "propertyNames": {"pattern": "^[a-z0-9]{1,20}$"},
    "additionalProperties": False,
}
VALID = jsonschema_rs.validator_for(
    {"$schema": "https://json-schema.org/draft/2020-12/schema", **CLOUDEVENT}, validate_formats=True
)


def happened() -> list[tuple[str, Event]]:
    """Every type of event, fields left out and fields given."""
    ids: Any = {"id": uuid4(), "version_id": uuid4()}
    skill, _ = Skill.create(
        **ids,
        name="pdf-forms",
        fields=SkillFields('Fill in "forms"', metadata={"number": 7, "a": [1, None]}),
        body=f"# {SECRET}\n",
        files=[File("a.txt", SECRET.encode())],
    )
    texts = {skill.body.digest: f"# {SECRET}\n".encode(), skill.files["a.txt"].ref.digest: SECRET.encode()}
    for changes in (
        Changes(body=f"## {SECRET}\n", fields={"license": "MIT", "allowed_tools": ("Read",)}),
        Changes(file_edits=(FileEdits("a.txt", (Edit(SECRET, "other"),)),)),
        Changes(files=(File("n.txt", SECRET.encode()),)),
    ):
        skill.publish(changes, version_id=uuid4(), base_version=skill.number, texts=texts)
    skill.add_file(File("b", SECRET.encode()), version_id=uuid4(), base_version=None)
    skill.rename_file("b", "c", version_id=uuid4(), base_version=None)
    skill.remove_file("c", version_id=uuid4(), base_version=None)
    skill.set_owners([7, 1])
    skill.set_tags(("docs",))
    copy = skill.duplicate(id=uuid4(), version_id=uuid4(), name="pdf-forms")
    prompt, _ = Prompt.create(
        id=uuid4(), version_id=uuid4(), name="Agent_1", prompt=f'"{SECRET}"'.encode(), owners=(), tags=("a",)
    )
    prompt.set_owners([7])
    prompt.set_tags(())
    prompt.publish(
        PromptChanges(prompt=b"[1]", config='{"t":1}', version_description="é"),
        version_id=uuid4(),
        base_version=1,
        texts={},
    )
    for artifact in (skill, prompt):
        first, second, third = (uuid4() for _ in range(3))
        promoting.request(artifact, first, "prod", 2, by=7, note="x")
        promoting.approve(artifact, first, by=8, required=1)
        promoting.request(artifact, second, "prod", 1, by=7)
        promoting.reject(artifact, second, by=8, comment="y")
        promoting.request(artifact, third, "beta", 1, by=7)
        promoting.withdraw(artifact, third, by=7)
        artifact.set_label("prod", 1)
        artifact.remove_label("prod")
    for artifact in (skill, prompt):
        artifact.archive()
        artifact.restore()
    for artifact in (skill, prompt):
        artifact.yank(1, "wrong")
        artifact.unyank(1)
    skill.rename("pdf-fields")
    prompt.rename("Agent_2")
    policies = LabelPolicies.of_project(5)
    policies.set("release.1", protected=False, approvals=0)
    policies.remove("release.1")
    mirror = Mirror.of_project(5)
    mirror.begin("Skald at https://skald.example.com, project 1", uuid4())
    mirror.end()
    return [
        *(
            (state.name, event)
            for artifact in (skill, copy, prompt)
            for state, event in states_after(artifact, artifact.collect_events())
        ),
        *(("release.1", event) for event in policies.pending),
        *(("5", event) for event in mirror.pending),
    ]


def recorded(event: Event, **envelope: Any) -> Recorded:
    stored = to_stored(event)
    known: dict[str, Any] = {
        "position": 12,
        "recorded_at": datetime(2026, 3, 3, 9, 30, tzinfo=UTC),
        "project_id": 5,
        "actor_id": 7,
        "key_id": UUID(int=1),
        "command_id": UUID(int=2),
        "correlation_id": 'req"1',
    }
    return Recorded(
        stream_id=event.originator_id,
        stream_version=event.originator_version,
        topic=stored.topic,
        state=stored.state,
        **{**known, **envelope},
    )


HAPPENED = happened()


@pytest.mark.parametrize(("name", "event"), HAPPENED, ids=[event.TOPIC for _, event in HAPPENED])
def test_an_event_is_a_cloudevent_whose_data_its_schema_describes(name: str, event: Event) -> None:
    kind = event.TOPIC.partition(".")[0]
    sent = msgspec.json.decode(cloudevent_json(recorded(event), kind, name, ORIGIN))
    VALID.validate(sent)
    schema = schemas()[sent["type"]]
    jsonschema_rs.validator_for(schema, validate_formats=True).validate(sent["data"])
    assert sent["dataschema"] == f"{ORIGIN}{schema['$id']}"
    assert set(schema["properties"]) >= set(sent["data"]), "a field that the schema does not know"
    assert (sent["id"], sent["position"], sent["subject"]) == ("12", 12, f"{kind}/{name}")
    assert sent["data"]["stream_id"] == str(event.originator_id)
    assert sent["data"]["stream_version"] == event.originator_version
    assert sent["data"]["name"] == name


@pytest.mark.parametrize(("name", "event"), HAPPENED, ids=[event.TOPIC for _, event in HAPPENED])
def test_the_fields_are_those_of_the_event_and_no_content(name: str, event: Event) -> None:
    sent = cloudevent_json(recorded(event), event.TOPIC.partition(".")[0], name)
    fields: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(event))
    data = msgspec.json.decode(sent)["data"]
    links = data.pop("links")
    for field in ("originator_id", "originator_version"):
        del fields[field]
    expected = {**({"number": 1} if hasattr(event, "version_id") else {}), **fields, "name": name}
    assert {
        key: value for key, value in data.items() if key not in ("stream_id", "stream_version")
    } == expected
    number = getattr(event, "number", None)
    assert (links.get("version") is None) == (number is None)
    if number is not None:
        assert links["version"] == f"{links['self']}?version={number}"
    assert SECRET.encode() not in sent


def test_links_have_the_path_of_the_public_address_and_the_source_has_not() -> None:
    name, event = HAPPENED[0]
    at_root, below = [
        msgspec.json.decode(cloudevent_json(recorded(event), "skill", name, base))
        for base in (ORIGIN, f"{ORIGIN}/skald")
    ]
    assert below["source"] == at_root["source"]
    assert below["data"]["links"]["self"] == f"/skald{at_root['data']['links']['self']}"
    assert below["dataschema"] == at_root["dataschema"].replace(ORIGIN, f"{ORIGIN}/skald")


def test_every_type_is_described_and_was_tried() -> None:
    begins = ("skill.", "prompt.", "label_policy.", "mirror.")
    topics = {topic for topic in EVENT_TYPES if topic.startswith(begins)}
    assert {event.TOPIC for _, event in HAPPENED} == topics
    # That the log went back is about no name, and in every project's feed.
    topics.add("log.rewound")
    assert set(schemas()) == {type_of(topic) for topic in topics}
    assert {topic_of(type_of(topic)) for topic in topics} == topics
    # Keys and users belong to no project's feed.
    assert topic_of("skald.key.created.v1") is None


def test_what_is_unknown_is_left_out() -> None:
    name, event = HAPPENED[0]
    bare = recorded(event, actor_id=None, key_id=None, correlation_id=None)
    sent = msgspec.json.decode(cloudevent_json(bare, "skill", name))
    assert not {"actor", "keyid", "correlationid", "dataschema"} & set(sent)


def test_the_struct_has_the_same_as_the_bytes() -> None:
    name, event = HAPPENED[0]
    sent = cloudevent_json(recorded(event), "skill", name, ORIGIN)
    assert msgspec.to_builtins(msgspec.json.decode(sent, type=Cloudevent)) == msgspec.json.decode(sent)


def test_an_event_of_an_earlier_shape_is_sent_as_the_type_is_now(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(EVENT_TYPES, Grown.TOPIC, Grown)
    id = uuid4()
    old = b'{"originator_id":"%b","originator_version":1,"name":"x"}' % str(id).encode()
    now = recorded(Grown(originator_id=id, originator_version=1, title="x"))
    sent = [
        msgspec.json.decode(
            cloudevent_json(msgspec.structs.replace(now, state=state), "skill", "ant", ORIGIN)
        )
        for state in (old, now.state)
    ]
    assert sent[0] == sent[1]
    assert sent[0]["data"]["title"] == "x"
    assert "schema" not in sent[0]["data"]
    assert sent[0]["type"] == "skald.skill.grown.v2"


class Grown(Event, frozen=True, kw_only=True):
    """An event whose field has changed its name."""

    TOPIC = "skill.grown"
    SCHEMA = 2
    UPCASTERS = {
        1: lambda fields: {
            "title": fields["name"],
            **{key: value for key, value in fields.items() if key != "name"},
        }
    }

    title: str


def test_whoever_makes_them_knows_the_events() -> None:
    """The followers import neither skills nor prompts themselves."""
    program = "from projections.events.cloudevents import type_of; print(type_of('skill.created'), type_of('prompt.label_set'))"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.stdout.split() == ["skald.skill.created.v1", "skald.prompt.label_set.v1"], done.stderr
