"""Owners and tags of every kind: given some events, when a command comes, then these events or this refusal."""

from collections.abc import Callable
from uuid import UUID

import pytest

from domain.artifacts.owners import MAX_OWNERS
from domain.artifacts.prompts import Prompt, PromptOwnersSet, PromptTagsSet
from domain.artifacts.skills import Skill, SkillFields, SkillOwnersSet, SkillTagsSet
from domain.artifacts.tags import MAX_TAG, MAX_TAGS, normal_tags
from domain.artifacts.versioned import Versioned
from domain.errors import Invalid

ID, COPY, FIRST = UUID(int=1), UUID(int=2), UUID(int=11)
MAKER = 7

Create = Callable[..., Versioned]


def skill(**fields: object) -> Versioned:
    made, _ = Skill.create(
        id=ID,
        version_id=FIRST,
        name="a",
        fields=SkillFields("D"),
        body="x",
        **fields,  # type: ignore[arg-type]
    )
    return made


def prompt(**fields: object) -> Versioned:
    made, _ = Prompt.create(id=ID, version_id=FIRST, name="a", prompt=b'"x"', **fields)  # type: ignore[arg-type]
    return made


KINDS = pytest.mark.parametrize("create", [skill, prompt])
EVENTS = pytest.mark.parametrize(
    ("create", "owners_set", "tags_set"),
    [(skill, SkillOwnersSet, SkillTagsSet), (prompt, PromptOwnersSet, PromptTagsSet)],
)


def loaded(create: Create, **fields: object) -> Versioned:
    """As it comes from the log, where ``MAKER`` has made it."""
    [event] = create(**fields).collect_events()
    found = (Skill if create is skill else Prompt)(id=ID)
    found.evolve(event, MAKER)
    return found


@KINDS
def test_it_belongs_to_its_maker_unless_others_are_named(create: Create) -> None:
    assert loaded(create).owners == (MAKER,)
    assert loaded(create, owners=(3, 2, 3)).owners == (3, 2)
    assert loaded(create, owners=()).owners == ()


@EVENTS
def test_owners_are_replaced_whole(create: Create, owners_set: type, tags_set: type) -> None:
    artifact = loaded(create)
    artifact.set_owners((3, 2, 3))
    assert artifact.collect_events() == (owners_set(originator_id=ID, originator_version=2, owners=(3, 2)),)
    artifact.set_owners(())
    assert (artifact.owners, artifact.number) == ((), 1)


@KINDS
def test_what_stays_as_it_is_is_no_event(create: Create) -> None:
    artifact = loaded(create, tags=("docs",))
    artifact.set_owners([MAKER, MAKER])
    artifact.set_tags(("docs",))
    assert artifact.collect_events() == ()


@KINDS
def test_there_are_so_many_owners(create: Create) -> None:
    artifact = loaded(create)
    artifact.set_owners(range(MAX_OWNERS))
    with pytest.raises(Invalid) as refused:
        artifact.set_owners(range(MAX_OWNERS + 1))
    assert (refused.value.code, refused.value.attr) == ("max_length", "owners")


@EVENTS
def test_tags_are_replaced_whole(create: Create, owners_set: type, tags_set: type) -> None:
    artifact = loaded(create, tags=("a",))
    artifact.set_tags(("b", "c"))
    assert artifact.collect_events() == (tags_set(originator_id=ID, originator_version=2, tags=("b", "c")),)
    assert (artifact.tags, artifact.number) == (("b", "c"), 1)


@KINDS
def test_an_archive_ends_tags_and_not_owners(create: Create) -> None:
    artifact = loaded(create, owners=(3,), tags=("a",))
    artifact.archive()
    artifact.restore()
    assert (artifact.owners, artifact.tags) == ((3,), ())


@KINDS
def test_a_copy_has_the_tags_and_another_owner(create: Create) -> None:
    copy = loaded(create, owners=(3,), tags=("a",)).duplicate(id=COPY, version_id=FIRST, name="b")
    [event] = copy.collect_events()
    again = type(copy)(id=COPY)
    again.evolve(event, 9)
    assert (again.owners, again.tags) == ((9,), ("a",))


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ([" Docs ", "docs", "", "  ", "API"], ("api", "docs")),
        (["b", "a", "Ä", "ä"], ("a", "b", "ä")),
        (["x" * MAX_TAG + " "], ("x" * MAX_TAG,)),
        ([f"t{n % MAX_TAGS:02}" for n in range(50)], tuple(f"t{n:02}" for n in range(MAX_TAGS))),
    ],
)
def test_the_normal_form_of_tags(sent: list[str], kept: tuple[str, ...]) -> None:
    assert normal_tags(sent) == kept
    assert normal_tags(kept) == kept


@pytest.mark.parametrize(
    ("sent", "code", "attr"),
    [
        (["a", "b,c"], "invalid_tag", "1"),
        (["x" * (MAX_TAG + 1)], "max_length", "0"),
        ([str(n) for n in range(MAX_TAGS + 1)], "max_length", None),
    ],
)
def test_what_no_tags_are(sent: list[str], code: str, attr: str | None) -> None:
    with pytest.raises(Invalid) as refused:
        normal_tags(sent)
    assert (refused.value.code, refused.value.attr) == (code, attr)
