"""The rules of a prompt: given some events, when a command comes, then these events or this refusal."""

from typing import Any
from uuid import UUID

import pytest
from msgspec import UNSET

from domain.artifacts.prompts import (
    Prompt,
    PromptChanges,
    PromptCreated,
    PromptPublished,
    PromptRenamed,
)
from domain.content import Edit
from domain.errors import EditFailed, Invalid, Refused, TooBig, VersionConflict
from domain.names import check_label, check_prompt_name

ID, FIRST, NEXT = UUID(int=1), UUID(int=2), UUID(int=3)


def created(prompt: bytes = b'"one"', **fields: Any) -> Prompt:
    made, _ = Prompt.create(id=ID, version_id=FIRST, name="agent", prompt=prompt, **fields)
    made.collect_events()
    return made


def publish(prompt: Prompt, changes: PromptChanges, base: int = 1, current: bytes = b'"one"') -> list[bytes]:
    contents = prompt.publish(
        changes, version_id=NEXT, base_version=base, texts={prompt.prompt.digest: current}
    )
    return [content.data for content in contents]


def edits(*pairs: tuple[str, str]) -> PromptChanges:
    return PromptChanges(edits=tuple(Edit(old, new) for old, new in pairs))


def test_create() -> None:
    made, [content] = Prompt.create(
        id=ID, version_id=FIRST, name="agent", prompt=b"[1.0]", config='{"a":1e2}'
    )

    [event] = made.collect_events()
    assert isinstance(event, PromptCreated)
    assert (event.prompt, event.config, event.version_description) == (content.ref, '{"a":1e2}', "")
    assert (content.data, content.ref.size) == (b"[1.0]", 5)
    assert (made.number, made.version_id, made.name) == (1, FIRST, "agent")


def test_publish_carries_prompt_and_config_forward() -> None:
    prompt = created(config="{}", version_description="first")

    assert publish(prompt, PromptChanges(config='{"b":1}')) == []

    [event] = prompt.collect_events()
    assert isinstance(event, PromptPublished)
    assert (event.prompt, event.config, event.number) == (UNSET, '{"b":1}', 2)
    assert (prompt.config, prompt.version_description) == ('{"b":1}', "")
    publish(prompt, PromptChanges(prompt=b"2"), base=2)
    assert prompt.config == '{"b":1}'
    publish(prompt, PromptChanges(config=None), base=3)
    assert prompt.config is None


@pytest.mark.parametrize(("current", "changes", "result"), [
    (b'"one two"', edits(("one", "1"), ("1 two", "\n")), b'"\\n"'),
    (b'"say \\"hi\\""', edits(('"hi"', "'hi'")), b'"say \'hi\'"'),
    (b'{"a":1.0,"b":["x"]}', edits(('  "a": 1.0', '  "a": 10.00')), b'{"a":10.00,"b":["x"]}'),
    (b'[1e2]', edits(("[\n  1e2\n]", "{}")), b"{}"),
    (b"true", edits(("true", '"now a text"')), b'"now a text"'),
])  # fmt: skip
def test_edits(current: bytes, changes: PromptChanges, result: bytes) -> None:
    assert publish(created(current), changes, current=current) == [result]


@pytest.mark.parametrize(("current", "changes", "code"), [
    (b'"one one"', edits(("one", "1")), "edit_ambiguous"),
    (b'"one"', edits(("two", "1")), "edit_not_found"),
    (b'"aaa"', edits(("aa", "b")), None),
    (b'"x"', edits(("x", "é" * 500_001)), "max_size"),
    (b'"x"', edits(("x", '"' * 600_000)), "max_size"),
    (b"[1]", edits(("1", "")), None),
    (b"[1]", edits(("1", ",")), "invalid_input"),
    (b"[1]", edits(("1", "[" * 256 + "]" * 256)), "max_depth"),
])  # fmt: skip
def test_edits_that_do_not_fit(current: bytes, changes: PromptChanges, code: str | None) -> None:
    prompt = created(current)
    if code is None:  # once, without overlap
        publish(prompt, changes, current=current)
        return

    with pytest.raises(Refused) as caught:
        publish(prompt, changes, current=current)

    assert isinstance(caught.value, EditFailed | TooBig | Invalid)
    assert (caught.value.code, caught.value.extra["edit_index"]) == (code, 0)
    assert prompt.collect_events() == ()


@pytest.mark.parametrize("base", [0, 2, 99])
def test_a_stale_base_comes_before_the_edits(base: int) -> None:
    with pytest.raises(VersionConflict) as caught:
        publish(created(), edits(("absent", "")), base=base)
    assert caught.value.extra == {"current_version": 1}


def test_a_fork_does_not_touch_what_it_came_from() -> None:
    prompt = created()
    fork = prompt.fork()
    fork.set_label("live", 1)

    assert (prompt.labels, prompt.pending, prompt.version) == ({}, (), 1)


def test_labels_stay_with_a_rename() -> None:
    prompt = created()
    prompt.set_label("live", 1)
    prompt.collect_events()

    prompt.rename("helper")
    prompt.rename("helper")

    [event] = prompt.collect_events()
    assert isinstance(event, PromptRenamed)
    assert (event.name, event.old_name, event.originator_version) == ("helper", "agent", 3)
    assert (prompt.name, prompt.labels, prompt.number) == ("helper", {"live": 1}, 1)


def test_a_copy_has_content_and_config_alone() -> None:
    prompt = created(config="{}", version_description="first")
    prompt.set_label("live", 1)

    copy = prompt.duplicate(id=UUID(int=9), version_id=NEXT, name="copy")

    assert (copy.prompt, copy.config, copy.version_description, copy.labels) == (prompt.prompt, "{}", "", {})
    [event] = copy.collect_events()
    assert isinstance(event, PromptCreated)
    assert event.source is not None
    assert (event.source.stream_id, event.source.number) == (ID, 1)


@pytest.mark.parametrize("name", ["a", "A_b-9", "-", "x" * 255, "newer"])
def test_names(name: str) -> None:
    assert check_prompt_name(name) == name


@pytest.mark.parametrize("name", ["", "new", "NEW", "a b", "a.b", "é", "x" * 256, "a\n", "²"])
def test_no_names(name: str) -> None:
    with pytest.raises(Invalid):
        check_prompt_name(name)


@pytest.mark.parametrize("label", ["a", "1a", "a.b_c-1", "x" * 128, "latest-1", "1.0"])
def test_label_names(label: str) -> None:
    assert check_label(label) == label


@pytest.mark.parametrize(
    "label", ["", "latest", "12", "A", ".a", "a.", "_", "a b", "x" * 129, "a\n", "é", "²"]
)
def test_no_label_names(label: str) -> None:
    with pytest.raises(Invalid):
        check_label(label)
