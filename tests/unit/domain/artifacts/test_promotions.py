"""The rules of promotions: given an artifact and what was asked for, when somebody decides, then these events or this refusal."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import msgspec
import pytest

from domain.artifacts import promoting
from domain.artifacts.labels import LabelSet
from domain.artifacts.promoting import Decided
from domain.artifacts.promotions import MAX_OPEN, PromotionApproved, PromotionRequested
from domain.artifacts.prompts import Prompt, PromptChanges
from domain.artifacts.skills import Changes, Skill, SkillFields
from domain.artifacts.versioned import Versioned
from domain.errors import Conflict, Invalid, PermissionDenied, VersionNotFound

ADA, GRACE, ALAN = 1, 2, 3
ONE, TWO, THREE = UUID(int=11), UUID(int=12), UUID(int=13)
ID: Any = {"id": UUID(int=1), "version_id": UUID(int=2)}


def prompt() -> Versioned:
    made, _ = Prompt.create(**ID, name="agent", prompt=b'"one"')
    for base in (1, 2):
        made.publish(PromptChanges(prompt=b'"x"'), version_id=UUID(int=3), base_version=base, texts={})
    return made


def skill() -> Versioned:
    made, _ = Skill.create(**ID, name="agent", fields=SkillFields("x"), body="one", files=[])
    for base in (1, 2):
        made.publish(Changes(body="x"), version_id=UUID(int=3), base_version=base, texts={})
    return made


Make = Callable[[], Versioned]


@pytest.fixture(params=[prompt, skill], ids=["prompt", "skill"])
def artifact(request: Any) -> Versioned:
    """Three versions, of which production is the first."""
    made: Versioned = request.param()
    made.set_label("production", 1)
    made.collect_events()
    return made


def request(artifact: Versioned, id: UUID = ONE, number: int = 2, label: str = "production") -> None:
    promoting.request(artifact, id, label, number, by=ADA)
    artifact.collect_events()


def test_a_request_says_where_the_label_points_now(artifact: Versioned) -> None:
    promoting.request(artifact, ONE, "production", 3, by=ADA, note="Better")
    [event] = artifact.collect_events()
    assert isinstance(event, PromotionRequested)
    assert f"{artifact.KIND}.promotion_requested" == event.TOPIC
    assert (event.promotion_id, event.label, event.number, event.from_number) == (ONE, "production", 3, 1)
    assert (event.requested_by, event.note) == (ADA, "Better")
    promoting.request(artifact, TWO, "beta", 3, by=ADA)
    assert artifact.promotions[TWO].from_number is None


def test_what_cannot_be_requested(artifact: Versioned) -> None:
    with pytest.raises(VersionNotFound):
        promoting.request(artifact, ONE, "production", 4, by=ADA)
    with pytest.raises(Conflict, match="already"):
        promoting.request(artifact, ONE, "production", 1, by=ADA)
    for number in range(MAX_OPEN):
        request(artifact, UUID(int=100 + number), label=f"l{number}")
    with pytest.raises(Invalid, match="at most 100 open"):
        promoting.request(artifact, ONE, "more", 2, by=ADA)


@pytest.mark.parametrize("required", [0, 1])
def test_the_last_approval_moves_the_label(artifact: Versioned, required: int) -> None:
    request(artifact)
    promoting.approve(artifact, ONE, by=GRACE, required=required, comment="Yes")
    approved, moved = artifact.collect_events()
    assert isinstance(approved, PromotionApproved)
    assert (approved.approved_by, approved.required, approved.comment) == (GRACE, required, "Yes")
    assert isinstance(moved, LabelSet)
    assert (moved.label, moved.number, moved.promotion_id) == ("production", 2, ONE)
    assert (artifact.labels, artifact.promotions) == ({"production": 2}, {})


def test_an_approval_that_is_not_the_last_moves_nothing(artifact: Versioned) -> None:
    request(artifact)
    promoting.approve(artifact, ONE, by=GRACE, required=2)
    assert len(artifact.collect_events()) == 1
    promoting.approve(artifact, ONE, by=GRACE, required=1)
    assert artifact.collect_events() == ()
    assert artifact.labels == {"production": 1}
    promoting.approve(artifact, ONE, by=ALAN, required=2)
    assert artifact.labels == {"production": 2}


def test_the_requester_neither_approves_nor_do_others_withdraw(artifact: Versioned) -> None:
    request(artifact)
    with pytest.raises(PermissionDenied) as refused:
        promoting.approve(artifact, ONE, by=ADA, required=1)
    assert refused.value.code == "own_promotion"
    with pytest.raises(PermissionDenied):
        promoting.withdraw(artifact, ONE, by=GRACE)
    promoting.reject(artifact, ONE, by=ADA)
    assert artifact.promotions == {}


ENDS: dict[str, Callable[[Versioned], object]] = {
    "rejected": lambda artifact: promoting.reject(artifact, ONE, by=GRACE, comment="No"),
    "withdrawn": lambda artifact: promoting.withdraw(artifact, ONE, by=ADA),
    "promoted": lambda artifact: promoting.approve(artifact, ONE, by=GRACE, required=1),
    "moved": lambda artifact: artifact.set_label("production", 3),
    "removed": lambda artifact: artifact.remove_label("production"),
    "archived": lambda artifact: artifact.archive(),
}


@pytest.mark.parametrize("end", ENDS)
def test_what_is_decided_stays_so(artifact: Versioned, end: str) -> None:
    request(artifact)
    request(artifact, TWO, 3)
    request(artifact, THREE, 3, "beta")
    ENDS[end](artifact)
    ended = {"rejected": {ONE}, "withdrawn": {ONE}, "archived": {ONE, TWO, THREE}}.get(end, {ONE, TWO})
    assert artifact.promotions.keys() == {ONE, TWO, THREE} - ended
    for id in ended:
        with pytest.raises(Decided):
            promoting.approve(artifact, id, by=GRACE, required=1)
        with pytest.raises(Decided):
            promoting.reject(artifact, id, by=GRACE)
        with pytest.raises(Decided):
            promoting.withdraw(artifact, id, by=ADA)


def test_a_label_that_comes_back_does_not_open_them_again(artifact: Versioned) -> None:
    request(artifact)
    artifact.set_label("production", 3)
    artifact.set_label("production", 1)
    assert artifact.promotions == {}


def test_a_set_that_moves_nothing_leaves_them_open(artifact: Versioned) -> None:
    request(artifact)
    artifact.set_label("production", 1)
    assert artifact.promotions.keys() == {ONE}


def test_a_duplicate_and_a_restored_one_have_none(artifact: Versioned) -> None:
    request(artifact)
    copy = artifact.duplicate(id=UUID(int=5), version_id=UUID(int=6), name="other")
    assert copy.promotions == {}
    artifact.archive()
    artifact.restore()
    assert (artifact.promotions, artifact.labels) == ({}, {})


def test_a_snapshot_has_them(artifact: Versioned) -> None:
    request(artifact)
    artifact.collect_events()
    promoting.approve(artifact, ONE, by=GRACE, required=2)
    artifact.collect_events()
    assert msgspec.json.decode(msgspec.json.encode(artifact), type=type(artifact)) == artifact


def test_an_event_of_a_promotion_that_is_not_open_is_not_folded(artifact: Versioned) -> None:
    event = artifact.PROMOTION.withdrawn(
        originator_id=artifact.id, originator_version=artifact.version + 1, promotion_id=ONE
    )
    with pytest.raises(ValueError, match="not open"):
        artifact.evolve(event)
