"""Events as they stand in logs out there: each stored form must be read for ever, and today's code must still write it.

``tests/golden/<topic>.<schema>[.<case>].json`` is the state of one event. Never change such a file; a new shape of an
event raises its SCHEMA, brings an upcaster, and adds a file.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar
from uuid import UUID

import msgspec
import pytest
from eventsourcing.persistence import JSONTranscoder, MapperDeserialisationError, StoredEvent

from domain.artifacts.mirrors import MirrorBegun, MirrorEnded
from domain.artifacts.policies import LabelPolicyRemoved, LabelPolicySet
from domain.artifacts.prompts import (
    PromptArchived,
    PromptCreated,
    PromptLabelRemoved,
    PromptLabelSet,
    PromptLatest,
    PromptOwnersSet,
    PromptPromotionApproved,
    PromptPromotionRejected,
    PromptPromotionRequested,
    PromptPromotionWithdrawn,
    PromptPublished,
    PromptRenamed,
    PromptRestored,
    PromptTagsSet,
    PromptVersionUnyanked,
    PromptVersionYanked,
)
from domain.artifacts.skills import (
    FileRef,
    SkillArchived,
    SkillCreated,
    SkillFields,
    SkillFileAdded,
    SkillFileRemoved,
    SkillFileRenamed,
    SkillLabelRemoved,
    SkillLabelSet,
    SkillLatest,
    SkillOwnersSet,
    SkillPromotionApproved,
    SkillPromotionRejected,
    SkillPromotionRequested,
    SkillPromotionWithdrawn,
    SkillPublished,
    SkillRenamed,
    SkillRestored,
    SkillTagsSet,
    SkillVersionUnyanked,
    SkillVersionYanked,
)
from domain.artifacts.versioned import Source
from domain.content import Ref
from domain.events import EVENT_TYPES, Event, event
from domain.keys import KeyCreated, KeyRevoked, UserChanged, UserErased
from domain.maintenance import LogRewound, ReadModelsReplaced
from domain.shares import ShareCreated, ShareRevoked
from store.eventsourcing.mapper import EventMapper
from store.log.mapper import decode, encode, to_stored

GOLDEN = Path(__file__).parents[3] / "golden"

STREAM = UUID("01890a5d-ac96-774b-bcce-b302099a8057")
VERSION = UUID("01890a5d-ac96-7abc-8def-0123456789ab")
SOURCE = Source(UUID("01890a5d-ac96-7000-8000-000000000001"), 3)
BODY = Ref("9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", 4)
OUTLINE = Ref("4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945", 2)
COUNTED = FileRef("notes.txt", "text/plain", 4, BODY.sha256, 1, 4)
BINARY = FileRef("logo.png", "image/png", 4, BODY.sha256, None, None)
FILE = FileRef("scripts/run.py", "text/x-python", 4, BODY.sha256)
METADATA = {"größe": 1.5, "nested": {"list": [1, None, True, "x"]}, "huge": 2**63}


def first(number: int = 1) -> dict[str, Any]:
    """What every event has."""
    return {"originator_id": STREAM, "originator_version": number}


EXPECTED: dict[str, Event] = {
    "skill.created.1": SkillCreated(
        **first(),
        version_id=VERSION,
        name="pdf-tools",
        description="Reads »PDF« files",
        body=BODY,
        outline=OUTLINE,
        license="MIT",
        compatibility="any",
        allowed_tools=("Read", "Bash(git log:*)"),
        metadata=METADATA,
        files=(FILE,),
        source=SOURCE,
    ),
    "skill.created.1.sparse": SkillCreated(
        **first(), version_id=VERSION, name="a", description="b", body=BODY, outline=OUTLINE
    ),
    "skill.created.1.described": SkillCreated(
        **first(),
        version_id=VERSION,
        name="a",
        description="b",
        body=BODY,
        outline=OUTLINE,
        files=(BINARY, COUNTED),
        version_description="First",
    ),
    "skill.created.1.owned": SkillCreated(
        **first(),
        version_id=VERSION,
        name="a",
        description="b",
        body=BODY,
        outline=OUTLINE,
        files=(BINARY, COUNTED),
        owners=(1, 7),
        tags=("docs", "forms"),
    ),
    "skill.created.1.shown": SkillCreated(
        **first(),
        version_id=VERSION,
        name="a",
        description="b",
        body=BODY,
        outline=OUTLINE,
        display_name="Förms & more",
    ),
    "skill.published.1.described": SkillPublished(
        **first(2), number=2, version_id=VERSION, edited=(COUNTED,), version_description="Second"
    ),
    "skill.file_added.1.counted": SkillFileAdded(**first(2), number=2, version_id=VERSION, file=BINARY),
    "skill.created.1.frontmatter": SkillCreated(
        **first(),
        version_id=VERSION,
        name="a",
        description="b",
        body=BODY,
        outline=OUTLINE,
        frontmatter="model: opus\nhooks:\n  größe: [1]\n",
    ),
    "skill.published.1": SkillPublished(
        **first(2),
        number=2,
        version_id=VERSION,
        description="Other",
        body=BODY,
        outline=OUTLINE,
        license="",
        compatibility="",
        allowed_tools=(),
        metadata={},
        files=(),
        edited=(FILE,),
        reverted_to=1,
    ),
    "skill.published.1.frontmatter": SkillPublished(**first(2), number=2, version_id=VERSION, frontmatter=""),
    "skill.published.1.sparse": SkillPublished(**first(2), number=2, version_id=VERSION),
    "skill.file_added.1": SkillFileAdded(**first(3), number=3, version_id=VERSION, file=FILE),
    "skill.file_renamed.1": SkillFileRenamed(
        **first(4), number=4, version_id=VERSION, old_path="a/b.txt", new_path="c.txt"
    ),
    "skill.file_removed.1": SkillFileRemoved(**first(5), number=5, version_id=VERSION, path="c.txt"),
    "skill.label_set.1": SkillLabelSet(**first(3), label="production", number=2),
    "skill.label_removed.1": SkillLabelRemoved(**first(4), label="production"),
    "skill.archived.1": SkillArchived(**first(6)),
    "skill.restored.1": SkillRestored(**first(7)),
    "skill.renamed.1": SkillRenamed(**first(8), name="pdf-fields", old_name="pdf-forms"),
    "skill.owners_set.1": SkillOwnersSet(**first(3), owners=(7, 1)),
    "skill.tags_set.1": SkillTagsSet(**first(4), tags=("docs", "forms")),
    "skill.version_yanked.1": SkillVersionYanked(
        **first(5),
        number=4,
        reason="Größer als gedacht",
        latest=SkillLatest(
            3,
            VERSION,
            "pdf-forms",
            SkillFields(
                "What it does",
                "MIT",
                "Any",
                ("Read", "Bash(git log:*)"),
                {"n": 1.0, "a": [True, None]},
                "model: opus\n",
            ),
            BODY,
            OUTLINE,
            (FILE,),
            "Third",
        ),
    ),
    "skill.version_yanked.1.sparse": SkillVersionYanked(**first(5), number=2, reason="x"),
    "skill.version_unyanked.1": SkillVersionUnyanked(
        **first(6),
        number=4,
        latest=SkillLatest(4, VERSION, "pdf-fields", SkillFields("What else"), BODY, OUTLINE),
    ),
    "skill.version_unyanked.1.sparse": SkillVersionUnyanked(**first(6), number=2),
    "prompt.version_yanked.1": PromptVersionYanked(
        **first(5),
        number=4,
        reason="Größer als gedacht",
        latest=PromptLatest(3, VERSION, "Greeting_1", BODY, '{"model": "x",  "temperature": 1.0}', "Third"),
    ),
    "prompt.version_yanked.1.sparse": PromptVersionYanked(**first(5), number=2, reason="x"),
    "prompt.version_unyanked.1": PromptVersionUnyanked(
        **first(6), number=4, latest=PromptLatest(4, VERSION, "Greeting_2", BODY)
    ),
    "prompt.version_unyanked.1.sparse": PromptVersionUnyanked(**first(6), number=2),
    "prompt.created.1": PromptCreated(
        **first(),
        version_id=VERSION,
        name="Greeting_1",
        prompt=BODY,
        config='{"model": "x",  "temperature": 1.0}',
        version_description="First",
        source=SOURCE,
    ),
    "prompt.created.1.sparse": PromptCreated(**first(), version_id=VERSION, name="g", prompt=BODY),
    "prompt.published.1": PromptPublished(
        **first(2),
        number=2,
        version_id=VERSION,
        prompt=BODY,
        config=None,
        version_description="Second",
        reverted_to=1,
    ),
    "prompt.published.1.sparse": PromptPublished(**first(2), number=2, version_id=VERSION),
    "prompt.label_set.1": PromptLabelSet(**first(3), label="production", number=2),
    "prompt.label_removed.1": PromptLabelRemoved(**first(4), label="production"),
    "prompt.archived.1": PromptArchived(**first(5)),
    "prompt.restored.1": PromptRestored(**first(6)),
    "skill.label_set.1.promoted": SkillLabelSet(
        **first(3), label="production", number=2, promotion_id=VERSION
    ),
    "skill.promotion_requested.1": SkillPromotionRequested(
        **first(7),
        promotion_id=VERSION,
        label="production",
        number=3,
        requested_by=7,
        from_number=2,
        note="Größer",
    ),
    "skill.promotion_requested.1.sparse": SkillPromotionRequested(
        **first(7), promotion_id=VERSION, label="production", number=3, requested_by=7
    ),
    "skill.promotion_approved.1": SkillPromotionApproved(
        **first(8), promotion_id=VERSION, approved_by=8, required=2, comment="Tried"
    ),
    "skill.promotion_approved.1.sparse": SkillPromotionApproved(
        **first(8), promotion_id=VERSION, approved_by=8, required=0
    ),
    "skill.promotion_rejected.1": SkillPromotionRejected(
        **first(9), promotion_id=VERSION, rejected_by=8, comment="Too long"
    ),
    "skill.promotion_withdrawn.1": SkillPromotionWithdrawn(**first(9), promotion_id=VERSION),
    "prompt.label_set.1.promoted": PromptLabelSet(
        **first(3), label="production", number=2, promotion_id=VERSION
    ),
    "prompt.promotion_requested.1": PromptPromotionRequested(
        **first(7),
        promotion_id=VERSION,
        label="production",
        number=3,
        requested_by=7,
        from_number=2,
        note="Größer",
    ),
    "prompt.promotion_requested.1.sparse": PromptPromotionRequested(
        **first(7), promotion_id=VERSION, label="production", number=3, requested_by=7
    ),
    "prompt.promotion_approved.1": PromptPromotionApproved(
        **first(8), promotion_id=VERSION, approved_by=8, required=2, comment="Tried"
    ),
    "prompt.promotion_approved.1.sparse": PromptPromotionApproved(
        **first(8), promotion_id=VERSION, approved_by=8, required=0
    ),
    "prompt.promotion_rejected.1": PromptPromotionRejected(
        **first(9), promotion_id=VERSION, rejected_by=8, comment="Too long"
    ),
    "prompt.promotion_withdrawn.1": PromptPromotionWithdrawn(**first(9), promotion_id=VERSION),
    "label_policy.set.1": LabelPolicySet(**first(), label="production", protected=True, approvals=2),
    "label_policy.removed.1": LabelPolicyRemoved(**first(2), label="production"),
    "mirror.begun.1": MirrorBegun(
        **first(), source="Skald at https://skald.example.com, project 1", writer_id=VERSION
    ),
    "mirror.ended.1": MirrorEnded(**first(2)),
    "prompt.renamed.1": PromptRenamed(**first(7), name="Greeting_2", old_name="Greeting_1"),
    "prompt.created.1.owned": PromptCreated(
        **first(), version_id=VERSION, name="g", prompt=BODY, owners=(), tags=("support",)
    ),
    "prompt.owners_set.1": PromptOwnersSet(**first(3), owners=(7, 1)),
    "prompt.tags_set.1": PromptTagsSet(**first(4), tags=("docs", "forms")),
    "key.created.1": KeyCreated(
        **first(),
        user_id=7,
        scopes=("llm_skill:read", "llm_prompt:write"),
        project_ids=(1, 2),
        expires_at=datetime(2031, 2, 3, 4, 5, 6, 789012, tzinfo=UTC),
    ),
    "key.created.1.sparse": KeyCreated(**first(), user_id=7, scopes=("*",)),
    "key.revoked.1": KeyRevoked(**first(2)),
    "share.created.1": ShareCreated(
        **first(), project_id=3, expires_at=datetime(2031, 2, 3, 4, 5, 6, 789012, tzinfo=UTC)
    ),
    "share.created.1.labeled": ShareCreated(**first(), project_id=3, serve_label="production"),
    "share.created.1.sparse": ShareCreated(**first(), project_id=3),
    "share.revoked.1": ShareRevoked(**first(2), project_id=3),
    "models.replaced.1": ReadModelsReplaced(**first(), tables=("artifacts", "labels")),
    "log.rewound.1": LogRewound(**first(), shared=1042, known=1047),
    "user.changed.1": UserChanged(**first(), user_id=7),
    "user.erased.1": UserErased(**first(), user_id=7),
}


def topic_of(name: str) -> str:
    return ".".join(name.split(".")[:2])


def stored(name: str) -> bytes:
    return (GOLDEN / f"{name}.json").read_bytes().rstrip(b"\n")


def test_every_topic_has_a_file_of_every_shape() -> None:
    wanted = {
        f"{topic}.{shape}"
        for topic, cls in EVENT_TYPES.items()
        if not topic.startswith("test.")
        for shape in range(1, cls.SCHEMA + 1)
    }
    assert wanted <= EXPECTED.keys()


def test_every_file_is_expected() -> None:
    assert {file.stem for file in GOLDEN.glob("*.json")} == EXPECTED.keys()


@pytest.mark.parametrize("name", EXPECTED)
def test_a_stored_event_is_read_as_ever(name: str) -> None:
    found = decode(topic_of(name), stored(name))
    assert type(found) is type(EXPECTED[name])
    assert found == EXPECTED[name]


@pytest.mark.parametrize("name", EXPECTED)
def test_today_it_is_written_in_the_same_form(name: str) -> None:
    if int(name.split(".")[2]) == EVENT_TYPES[topic_of(name)].SCHEMA:
        assert encode(EXPECTED[name]) == stored(name)


@pytest.mark.parametrize("name", EXPECTED)
def test_the_mapper_of_the_library_does_the_same(name: str) -> None:
    expected = EXPECTED[name]
    state = StoredEvent(STREAM, expected.originator_version, topic_of(name), stored(name))
    mapper = EventMapper(JSONTranscoder())
    assert mapper.to_domain_event(state) == expected
    assert mapper.to_stored_event(expected) == to_stored(expected)


def test_no_file_names_a_person() -> None:
    fields = {name for cls in EVENT_TYPES.values() for name in cls.__struct_fields__}
    assert not fields & {"email", "first_name", "last_name", "distinct_id", "user", "author"}


# Shapes change -----------------------------------------------------------------------------------------------------


@pytest.fixture
def three_shapes() -> Iterator[type[Event]]:
    """An event that was first ``{full_name}``, then ``{first, last}``, and is ``{names, title}`` today."""

    @event
    class Renamed(Event, frozen=True, kw_only=True):
        TOPIC: ClassVar[str] = "test.renamed"
        SCHEMA: ClassVar[int] = 3
        UPCASTERS: ClassVar[dict[int, Any]] = {
            1: lambda old: {
                **old,
                "first": old["full_name"].split()[0],
                "last": old["full_name"].split()[1],
            },
            2: lambda old: {**old, "names": [old["first"], old["last"]]},
        }

        names: tuple[str, ...]
        title: str = ""
        at: datetime | None = None

    yield Renamed
    del EVENT_TYPES["test.renamed"]


@pytest.mark.parametrize(
    "state",
    [
        b'{"originator_id":"%s","originator_version":4,"full_name":"Ada Lovelace"}',
        b'{"schema":2,"originator_id":"%s","originator_version":4,"first":"Ada","last":"Lovelace"}',
        b'{"schema":3,"originator_id":"%s","originator_version":4,"names":["Ada","Lovelace"]}',
    ],
)
def test_every_shape_is_read_as_the_newest(three_shapes: Any, state: bytes) -> None:
    expected = three_shapes(**first(4), names=("Ada", "Lovelace"))
    assert decode("test.renamed", state % str(STREAM).encode()) == expected


def test_the_shape_is_written_with_the_event(three_shapes: Any) -> None:
    new = three_shapes(**first(), names=("Ada",), at=datetime(2030, 1, 1, tzinfo=UTC))
    assert msgspec.json.decode(encode(new))["schema"] == 3
    assert decode("test.renamed", encode(new)) == new


@pytest.mark.parametrize(
    ("topic", "state"),
    [
        ("skill.forgotten", b"{}"),
        ("skill.archived", b"{}"),
        ("skill.archived", b"no json"),
        ("skill.archived", b'{"originator_id":"x","originator_version":1}'),
    ],
)
def test_what_cannot_be_read_is_told(topic: str, state: bytes) -> None:
    with pytest.raises(MapperDeserialisationError, match=r"topic|skill\.archived"):
        decode(topic, state)


def test_a_state_that_no_upcaster_can_read_is_told(three_shapes: Any) -> None:
    with pytest.raises(MapperDeserialisationError, match=r"test\.renamed"):
        decode("test.renamed", b'{"originator_id":"%s","originator_version":4}' % str(STREAM).encode())


def test_a_shape_of_a_newer_release_is_not_taken_for_an_older_one(three_shapes: Any) -> None:
    state = b'{"schema":4,"originator_id":"%s","originator_version":4,"names":["x"]}' % str(STREAM).encode()
    with pytest.raises(MapperDeserialisationError, match="later release"):
        decode("test.renamed", state)


def test_two_types_cannot_share_a_topic(three_shapes: Any) -> None:
    with pytest.raises(ValueError, match=r"test\.renamed"):

        @event
        class Other(Event, frozen=True, kw_only=True):
            TOPIC: ClassVar[str] = "test.renamed"
