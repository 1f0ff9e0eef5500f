"""Events to read-model rows: pure, and the same whether steps come one by one or by the thousand."""

from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.artifacts.prompts import Prompt
from domain.artifacts.skills import FileRef, Skill, SkillFields
from domain.content import Content
from projections.read import skills as skill_views
from projections.read.kinds import KINDS
from projections.read.skills import SkillKind
from projections.write import artifacts, labels, names
from projections.write.artifacts import AppliedEvent, fold
from store.log.statements import SetStatement, merge
from tests.support.histories import changes_of, new_skill


class Life:
    """An artifact and the steps that led to it."""

    def __init__(self, artifact: Any, contents: Any = ()) -> None:
        self.artifact = artifact
        self.data = {content.digest: content.data for content in contents}
        self.steps: list[AppliedEvent] = []
        self.note()

    def note(self) -> "Life":
        for event in self.artifact.collect_events():
            self.steps.append(AppliedEvent(self.artifact.fork(), event, 1, 7, self.data))
        return self

    def publish(self, body: str = "# B\n", **changes: Any) -> "Life":
        contents = self.artifact.publish(
            changes_of(body=body, **changes), version_id=uuid4(), base_version=self.artifact.number, texts={}
        )
        self.data |= {content.digest: content.data for content in contents}
        return self.note()

    def archive(self) -> "Life":
        self.artifact.archive()
        return self.note()

    def restore(self) -> "Life":
        self.artifact.restore()
        return self.note()


def skill(name: str = "one", **fields: Any) -> Life:
    return Life(*new_skill(name, **fields))


def prompt(name: str = "one", text: bytes = b'"Hello"') -> Life:
    return Life(*Prompt.create(id=uuid4(), version_id=uuid4(), name=name, prompt=text))


def rows(*lives: Life) -> dict[SetStatement, Any]:
    return dict(fold([step for life in lives for step in life.steps], KINDS).writes)


def test_nothing_comes_of_nothing() -> None:
    folded = fold([], KINDS)
    assert (folded.writes, folded.parts, folded.views) == ({}, [], {})


def test_a_first_version_claims_its_name_and_counts() -> None:
    life = skill(description="Straße")
    written, id = rows(life), life.artifact.id
    assert written[names.CLAIM] == [(1, "skill", "one", id)]
    assert written[artifacts.COUNTED] == [(1, "skill", 1)]
    assert written[artifacts.TEXT_CHANGED] == [(id, 1, "skill", "one", "strasse")]
    [created] = written[artifacts.CREATED]
    assert created[:8] == (id, 1, 1, "skill", "one", 1, life.artifact.version_id, 7)
    assert len(written[artifacts.VERSION_ADDED]) == 1
    assert artifacts.PUBLISHED not in written


def test_the_parts_that_rows_point_to_come_with_them() -> None:
    life = skill()
    folded = fold(life.steps, KINDS)
    [version] = folded.writes[artifacts.VERSION_ADDED]
    stored = {part.ref.digest for part in folded.parts} | life.data.keys()
    assert {digest for digest in version[5:] if isinstance(digest, bytes)} <= stored


def test_a_publish_that_leaves_the_description_leaves_the_text_alone() -> None:
    life = skill()
    del life.steps[:]
    assert artifacts.TEXT_CHANGED not in rows(life.publish())
    assert artifacts.TEXT_CHANGED in rows(life.publish(description="Other"))


def test_of_several_versions_the_last_is_the_latest() -> None:
    life = skill().publish().publish().publish()
    written = rows(life)
    assert [row[2] for row in written[artifacts.VERSION_ADDED]] == [1]
    published = written[artifacts.PUBLISHED]
    assert [(*row[:3], row[-1]) for row in published] == [
        (life.artifact.id, 2, 2, False),
        (life.artifact.id, 3, 3, False),
        (life.artifact.id, 4, 4, True),
    ]


def test_a_life_that_ends_in_its_batch_holds_no_name() -> None:
    written = rows(skill().archive())
    assert names.CLAIM not in written
    assert names.RELEASE not in written
    assert sum(row[2] for row in written[artifacts.COUNTED]) == 0
    assert artifacts.TEXT_CHANGED not in written


def test_a_name_that_is_given_away_again_in_its_batch_has_its_last_holder() -> None:
    before, between, after = skill(), skill(), skill()
    del before.steps[:]
    before.archive()
    between.archive()
    written = rows(before, between, after)
    assert written[names.RELEASE] == [(1, "skill", "one", before.artifact.id)]
    assert written[names.CLAIM] == [(1, "skill", "one", after.artifact.id)]


def test_an_archive_and_its_restore_cancel_out() -> None:
    life = skill()
    del life.steps[:]
    written = rows(life.archive().restore())
    assert artifacts.ARCHIVED not in written
    assert artifacts.TEXT_REMOVED not in written
    assert written[names.RELEASE] == written[names.CLAIM] == [(1, "skill", "one", life.artifact.id)]
    assert sum(row[2] for row in written[artifacts.COUNTED]) == 0


def test_kinds_do_not_share_names() -> None:
    written = rows(skill("same"), prompt("same"))
    assert {row[:3] for row in written[names.CLAIM]} == {(1, "skill", "same"), (1, "prompt", "same")}


def test_a_prompt_is_found_by_its_text_and_a_chat_by_its_json() -> None:
    texts = rows(prompt(text=b'"HELLO"'), prompt("two", b'[{"role":"user"}]'))[artifacts.TEXT_CHANGED]
    assert [row[4] for row in texts] == ["hello", '[{"role":"user"}]']


def test_a_label_that_moves_twice_in_a_batch_leaves_two_rows() -> None:
    life = prompt()
    for _ in range(2):
        life.artifact.set_label("production", 1)
        life.artifact.remove_label("production")
    life.artifact.set_label("production", 1)
    written = rows(life.note())
    # Name, number, since and until as versions of the stream.
    assert [row[1:5] for row in written[labels.SET]] == [
        ("production", 1, 2, 3),
        ("production", 1, 4, 5),
        ("production", 1, 6, None),
    ]


def test_statements_run_in_their_order_once_each() -> None:
    one, two = skill("one"), skill("two").publish()
    parts = [fold(life.steps, KINDS).writes for life in (one, two)]
    merged = merge(parts)
    ranks = [statement.rank for statement, _ in merged]
    assert ranks == sorted(ranks)
    assert len({statement for statement, _ in merged}) == len(merged)
    assert len(dict(merged)[artifacts.VERSION_ADDED]) == 2
    assert len(dict(merged)[artifacts.PUBLISHED]) == 1


def test_no_two_statements_share_a_rank_or_a_name() -> None:
    assert len({statement.rank for statement in artifacts.STATEMENTS}) == len(artifacts.STATEMENTS)
    assert len({statement.name for statement in artifacts.STATEMENTS}) == len(artifacts.STATEMENTS)


def test_the_fold_changes_none_of_its_steps() -> None:
    life = skill().publish()
    before = [(step.artifact.version, step.event.originator_version) for step in life.steps]
    fold(life.steps, KINDS)
    fold(life.steps, KINDS)
    assert [(step.artifact.version, step.event.originator_version) for step in life.steps] == before
    assert isinstance(life.artifact, Skill)
    assert isinstance(life.artifact.id, UUID)


# What is kept of the version before ------------------------------------------------------------------------------

BODIES = [Content.of(text) for text in ("# A\n[a](a.txt)", "# B\n[b](gone.txt)", "# C\n" * 600)]
CONTENTS = {content.digest: content.data for content in BODIES}


def files(*paths: str) -> dict[str, FileRef]:
    return {path: FileRef.of(path, "text/plain", Content.of(path)) for path in paths}


# Two values for each part that a version has; 1 and true are equal, but not the same JSON.
PARTS: dict[str, tuple[Any, Any]] = {
    "number": (1, 2),
    "body": (BODIES[0].ref, BODIES[1].ref),
    "outline": (BODIES[0].ref, BODIES[2].ref),
    "files": (files("a.txt"), files("a.txt", "A.txt")),
    "version_description": ("", "Why"),
}
# And for each field.
FIELDS: dict[str, tuple[Any, Any]] = {
    "description": ("What it does", "What else"),
    "license": ("MIT", ""),
    "compatibility": ("", "Any"),
    "allowed_tools": (("Read",), ("Read", "Grep")),
    "metadata": ({"n": 1}, {"n": True}),
    "frontmatter": ("", "model: opus\n"),
}


def state() -> Skill:
    parts = {name: values[0] for name, values in PARTS.items()}
    fields = SkillFields(**{name: values[0] for name, values in FIELDS.items()})
    return Skill(id=uuid4(), name="one", fields=fields, **parts)


def with_value(state: Skill, name: str, which: int) -> Skill:
    if name in PARTS:
        return msgspec.structs.replace(state, **{name: PARTS[name][which]})
    fields = msgspec.structs.replace(state.fields, **{name: FIELDS[name][which]})
    return msgspec.structs.replace(state, fields=fields)


def step_of(state: Skill) -> AppliedEvent:
    return AppliedEvent(state, skill().steps[0].event, 1, 7, CONTENTS)


def test_each_field_of_a_version_is_looked_at() -> None:
    of_the_stream = {"id", "name", "version", "version_id", "archived", "labels", "promotions", "pending"}
    of_the_stream |= {"made_by", "named_owners", "tags", "highest", "yanked"}
    assert set(Skill.__struct_fields__) - of_the_stream == {"fields", *PARTS}
    assert set(SkillFields.__struct_fields__) == set(FIELDS)


@pytest.mark.parametrize("field", [*PARTS, *FIELDS])
def test_what_changes_alone_is_not_taken_from_the_version_before(field: str) -> None:
    kind = SkillKind()
    before = state()
    after = with_value(before, field, 1)
    views = [kind.view(step_of(state)) for state in (before, after, before)]
    assert views[0] == views[2] != views[1]
    assert views[1] == SkillKind().view(step_of(after))
    # Nor when the state itself goes on.
    changed = field if field in PARTS else "fields"
    setattr(before, changed, getattr(after, changed))
    assert kind.view(step_of(before)) == views[1]


@given(
    st.lists(st.tuples(st.integers(0, 3), st.sampled_from([*PARTS, *FIELDS]), st.integers(0, 1)), max_size=30)
)
def test_what_is_kept_changes_no_view(changes: list[tuple[int, str, int]]) -> None:
    kind = SkillKind()
    states = [state() for _ in range(4)]
    for which, field, value in changes:
        states[which] = with_value(states[which], field, value)
        assert kind.view(step_of(states[which])) == SkillKind().view(step_of(states[which]))


def test_files_of_earlier_releases_are_counted_from_their_contents() -> None:
    kind = SkillKind()
    old = {
        path: FileRef(path, "text/plain", content.ref.size, content.ref.sha256)
        for path, content in (("a.txt", Content.of("é\nb")), ("b.bin", Content.of(b"\xff")))
    }
    contents = CONTENTS | {Content.of(data).digest: data for data in ("é\nb".encode(), b"\xff")}
    was = msgspec.structs.replace(state(), files=old)
    assert kind.needs(was) == (was.body, *(file.ref for file in old.values()))
    view = kind.view(AppliedEvent(was, skill().steps[0].event, 1, 7, contents))
    assert view.manifest is not None
    counted = [(one["line_count"], one["char_count"]) for one in msgspec.json.decode(view.manifest.data)]
    assert counted == [(2, 3), (None, None)]
    # Once they are known, the contents are not read again.
    again = msgspec.structs.replace(was, files={**old})
    assert kind.needs(again) == (again.body,)
    assert kind.view(step_of(again)).manifest == view.manifest


def test_only_some_and_only_small_ones_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(skill_views, "KEPT", 3)
    kind, small = SkillKind(), [Skill(id=uuid4(), body=BODIES[0].ref) for _ in range(5)]
    for state in small:
        kind.view(step_of(state))
    kind.view(step_of(small[2]))
    large = SkillFields(metadata={"long": "x" * skill_views.KEPT_BYTES})
    kind.view(step_of(Skill(id=uuid4(), body=BODIES[0].ref, fields=large)))
    assert list(kind._kept) == [state.id.int for state in (small[3], small[4], small[2])]
