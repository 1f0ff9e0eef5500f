"""Yanked versions of every kind: given versions, when one is yanked or comes back, then its event or a refusal, and what is the latest."""

from typing import Any
from uuid import UUID

import msgspec
import pytest

from domain.artifacts.kinds import KINDS
from domain.artifacts.prompts import Prompt, PromptChanges
from domain.artifacts.skills import Changes, Skill
from domain.artifacts.versioned import Versioned
from domain.artifacts.yanks import LabelsYanked, LastVersion, VersionUnyanked, VersionYanked
from domain.errors import VersionConflict, VersionNotFound
from tests.unit.domain.artifacts.test_labels import given

pytestmark = pytest.mark.parametrize("kind", KINDS)


def states(kind: str) -> list[Versioned]:
    """The artifact as it was with one version, with two and with three."""
    return [given(kind, number) for number in (1, 2, 3)]


def test_the_latest_is_the_newest_that_is_not_yanked(kind: str) -> None:
    first, second, third = states(kind)
    third.yank(2, "wrong")
    assert (third.number, third.version_id) == (3, UUID(int=3))
    third.yank(3, "wrong, too", first.as_latest("one"))
    _, yanked = third.collect_events()
    assert isinstance(yanked, VersionYanked)
    assert (yanked.number, yanked.reason, yanked.latest and yanked.latest.number) == (3, "wrong, too", 1)
    assert (third.number, third.highest, set(third.yanked), third.version_id) == (
        1,
        3,
        {2, 3},
        first.version_id,
    )
    assert third.text == first.text

    third.unyank(2, second.as_latest("one"))
    [back] = third.collect_events()
    assert isinstance(back, VersionUnyanked)
    assert (third.number, third.text, set(third.yanked)) == (2, second.text, {3})


def test_the_next_version_is_made_from_it_with_a_new_number(kind: str) -> None:
    _, second, third = states(kind)
    third.yank(3, "wrong", second.as_latest("one"))
    new: Any = {"version_id": UUID(int=9), "texts": {}}
    assert isinstance(third, Skill | Prompt)
    with pytest.raises(VersionConflict) as conflict:
        third.check_base(3)
    assert conflict.value.extra == {"current_version": 2}
    if isinstance(third, Skill):
        third.publish(Changes(fields={"license": "MIT"}), base_version=2, **new)
    else:
        third.publish(PromptChanges(config="{}"), base_version=2, **new)
    assert (third.number, third.text) == (4, second.text)


def test_what_is_done_already_brings_no_event(kind: str) -> None:
    third = given(kind, 3)
    third.unyank(1)
    third.yank(1, "wrong")
    third.collect_events()
    third.yank(1, "again")
    assert not third.pending


def test_what_is_refused_brings_no_event(kind: str) -> None:
    third = given(kind, 3)
    for number in (0, 4):
        with pytest.raises(VersionNotFound) as unknown:
            third.yank(number, "x")
        assert unknown.value.extra == {"available_versions": [3, 2, 1]}
        with pytest.raises(VersionNotFound):
            third.unyank(number)
    third.yank(1, "x")
    third.yank(2, "x")
    third.collect_events()
    with pytest.raises(LastVersion):
        third.yank(3, "x")
    with pytest.raises(LabelsYanked):
        third.set_label("live", 2)
    with pytest.raises(ValueError, match="is the latest then"):
        given(kind, 2).yank(2, "x")
    assert not third.pending


def test_the_state_goes_through_a_snapshot(kind: str) -> None:
    _, second, third = states(kind)
    third.yank(3, "x", second.as_latest("one"))
    third.collect_events()
    assert msgspec.json.decode(msgspec.json.encode(third), type=KINDS[kind]) == third
