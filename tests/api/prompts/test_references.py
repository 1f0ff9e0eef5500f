"""Prompts that refer to others: what a read by name shows, and what may not be done to what is referred to."""

import asyncio
from typing import Any

import pytest

from tests.support.prompt_space import PromptSpace
from tests.support.space import refusal

BY_VERSION = "@@@prompt:name=tone|version=1@@@"
BY_LABEL = "@@@prompt:name=tone|label=live@@@"


async def story(prompts: PromptSpace, text: str = f"Say it: {BY_LABEL}") -> dict[str, Any]:
    await prompts.create("tone", 'Be "kind".\n')
    await prompts.set_label("live", 1, "tone")
    return await prompts.create(prompt=text)


async def test_a_read_by_name_has_the_texts_in_place(prompts: PromptSpace) -> None:
    made = await story(prompts, f"1 {BY_VERSION} 2 {BY_LABEL} 3")
    assert made["prompt"] == f"1 {BY_VERSION} 2 {BY_LABEL} 3", "a write answers with what was written"
    shown = await prompts.show()
    assert shown["prompt"] == '1 Be "kind".\n 2 Be "kind".\n 3'
    assert shown["resolved_references"] == [
        {"name": "tone", "version": 1, "label": None},
        {"name": "tone", "version": 1, "label": "live"},
    ]
    await prompts.set_label("prod", 1)
    for query in ({"version": 1}, {"label": "prod"}):
        other = await prompts.show(**query)
        assert (other["prompt"], other["resolved_references"]) == (
            shown["prompt"],
            shown["resolved_references"],
        )


async def test_elsewhere_the_text_is_as_it_was_written(prompts: PromptSpace) -> None:
    text = (await story(prompts))["prompt"]
    raw = await prompts.show(resolve="false")
    assert raw["prompt"] == text
    assert "resolved_references" not in raw
    [row] = (await prompts.get("", params={"search": "agent"})).json()["results"]
    assert row["prompt"] == text
    assert (await prompts.get("resolve/name/agent")).json()["prompt"]["prompt"] == text
    assert (await prompts.show(content="preview"))["prompt_preview"] == text
    assert "resolved_references" not in await prompts.show("tone")
    assert refusal(await prompts.get("name/agent", params={"resolve": "no"}))[2] == "resolve"


async def test_it_follows_the_label_at_once_and_its_tag_changes(prompts: PromptSpace) -> None:
    await story(prompts)
    first = await prompts.get("name/agent")
    tag = {"If-None-Match": first.headers["etag"]}
    assert (await prompts.get("name/agent", headers=tag)).status_code == 304
    await prompts.publish(1, "tone", prompt="Be brief.")
    assert (await prompts.get("name/agent", headers=tag)).status_code == 304
    await prompts.set_label("live", 2, "tone")
    for _ in range(3):
        answer = await prompts.get("name/agent", headers=tag)
        assert (answer.status_code, answer.json()["prompt"]) == (200, "Say it: Be brief.")
        assert answer.json()["resolved_references"] == [{"name": "tone", "version": 2, "label": "live"}]
    patched = await prompts.patch({"prompt": "plain"}, headers={"If-Match": answer.headers["etag"]})
    assert patched.status_code == 200
    assert (await prompts.show())["prompt"] == "plain"


async def test_the_past_has_what_it_referred_to_then(prompts: PromptSpace) -> None:
    await story(prompts)
    then = await prompts.space.head()
    await prompts.publish(1, "tone", prompt="Be brief.")
    await prompts.set_label("live", 2, "tone")
    assert (await prompts.show(position=then))["prompt"] == 'Say it: Be "kind".\n'


@pytest.mark.parametrize(
    "text",
    [
        "@@@prompt:name=none|version=1@@@",
        "@@@prompt:name=tone|version=2@@@",
        "@@@prompt:name=tone|label=other@@@",
        "@@@prompt:name=chat|version=1@@@",
        "@@@prompt:name=refers|version=1@@@",
        BY_VERSION * 21,
    ],
)
async def test_a_broken_reference_is_refused_and_nothing_is_written(prompts: PromptSpace, text: str) -> None:
    await story(prompts, "plain")
    await prompts.create("chat", [{"role": "user", "content": "x"}])
    await prompts.create("refers", BY_VERSION)
    before = await prompts.space.head()
    for answer in (
        await prompts.post(json={"name": "fresh", "prompt": text}),
        await prompts.patch({"base_version": 1, "prompt": text}),
        await prompts.patch({"base_version": 1, "edits": [{"old": "plain", "new": text}]}),
    ):
        assert (answer.status_code, answer.json()["attr"]) == (400, "prompt"), answer.text
    assert await prompts.space.head() == before


async def test_what_is_referred_to_cannot_be_archived_nor_lose_the_label(prompts: PromptSpace) -> None:
    await story(prompts)
    by = [{"name": "agent", "version": 1, "label": None}]
    for answer in (await prompts.post("name/tone/archive"), await prompts.delete("live", "tone")):
        assert refusal(answer)[:2] == (409, "referenced")
        assert answer.json()["referenced_by"] == by
    await prompts.set_label("other", 1, "tone")
    assert (await prompts.delete("other", "tone")).status_code == 204
    await prompts.set_label("prod", 1)
    await prompts.publish(1, prompt="plain")
    kept = await prompts.post("name/tone/archive")
    assert kept.json()["referenced_by"] == [{"name": "agent", "version": 1, "label": "prod"}]
    await prompts.delete("prod")
    assert (await prompts.delete("live", "tone")).status_code == 204
    assert (await prompts.post("name/tone/archive")).status_code == 200


async def test_a_label_that_is_referred_to_moves_only_to_a_text_without_references(
    prompts: PromptSpace,
) -> None:
    await story(prompts)
    await prompts.create("base", "base")
    await prompts.publish(1, "tone", prompt="@@@prompt:name=base|version=1@@@")
    await prompts.publish(2, "tone", prompt=["a list"])
    await prompts.publish(3, "tone", prompt="a text")
    for version in (2, 3):
        assert refusal(await prompts.put("live", {"version": version}, "tone"))[:2] == (409, "referenced")
    assert (await prompts.put("live", {"version": 4}, "tone")).status_code == 200
    assert (await prompts.put("free", {"version": 2}, "tone")).status_code == 201


async def test_a_version_comes_back_only_with_what_it_refers_to(prompts: PromptSpace) -> None:
    await story(prompts)
    await prompts.publish(1, prompt="plain")
    await prompts.post("name/tone/archive")
    assert refusal(await prompts.put("prod", {"version": 1}))[:3] == (400, "invalid_reference", "version")
    answer = await prompts.post("name/agent/revert", {"version": 1, "base_version": 2})
    assert refusal(answer)[:3] == (400, "invalid_reference", "version")


async def test_a_restore_needs_what_it_refers_to(prompts: PromptSpace) -> None:
    await story(prompts, BY_VERSION)
    await prompts.post("name/agent/archive")
    await prompts.post("name/tone/archive")
    assert refusal(await prompts.post("name/agent/restore"))[:2] == (400, "invalid_reference")
    await prompts.post("name/tone/restore")
    assert (await prompts.post("name/agent/restore")).status_code == 200
    copied = await prompts.post("name/agent/duplicate", {"new_name": "copy"})
    assert copied.status_code == 201
    assert refusal(await prompts.post("name/tone/archive"))[:2] == (409, "referenced")


async def test_of_an_archive_and_a_reference_at_once_one_wins(prompts: PromptSpace) -> None:
    for number in range(8):
        name = f"tone-{number}"
        await prompts.create(name, "text")
        archived, made = await asyncio.gather(
            prompts.post(f"name/{name}/archive"),
            prompts.post(json={"name": f"agent-{number}", "prompt": f"@@@prompt:name={name}|version=1@@@"}),
        )
        outcome = (archived.status_code, made.status_code)
        assert outcome in {(200, 400), (200, 503), (409, 201)}, outcome


async def test_references_follow_a_rename(prompts: PromptSpace) -> None:
    await story(prompts, f"{BY_VERSION} {BY_LABEL}")
    renamed = await prompts.post("name/tone/rename", {"new_name": "voice"})
    assert renamed.status_code == 200, renamed.text
    shown = await prompts.show()
    assert shown["prompt"] == 'Be "kind".\n Be "kind".\n'
    assert [one["name"] for one in shown["resolved_references"]] == ["tone", "tone"]
    for answer in (await prompts.post("name/voice/archive"), await prompts.delete("live", "voice")):
        assert refusal(answer)[:2] == (409, "referenced")
    assert (await prompts.publish(1, prompt=f"still {BY_LABEL}"))["version"] == 2
    assert (await prompts.show())["prompt"] == 'still Be "kind".\n'


async def test_nothing_else_takes_an_earlier_name_that_is_referred_by(prompts: PromptSpace) -> None:
    await story(prompts, f"{BY_VERSION} {BY_LABEL}")
    await prompts.create("gone", "text")
    assert (await prompts.post("name/gone/rename", {"new_name": "tone-2"})).status_code == 200
    assert (await prompts.post("name/tone/rename", {"new_name": "voice"})).status_code == 200
    shown = (await prompts.show())["prompt"]
    for answer in (
        await prompts.post(json={"name": "tone", "prompt": "another"}),
        await prompts.post("name/tone-2/rename", {"new_name": "tone"}),
        await prompts.post("name/tone-2/duplicate", {"new_name": "tone"}),
    ):
        assert refusal(answer)[:2] == (409, "referenced"), answer.text
    assert (await prompts.show())["prompt"] == shown
    await prompts.create("gone", "a name that no mark has")
    # What is referred to takes its own name back, and a name is free once no version in use has it.
    assert (await prompts.post("name/voice/rename", {"new_name": "tone"})).status_code == 200
    assert (await prompts.post("name/tone/rename", {"new_name": "voice"})).status_code == 200
    await prompts.publish(1, prompt="plain")
    assert (await prompts.post(json={"name": "tone", "prompt": "another"})).status_code == 201


async def test_a_restore_does_not_take_an_earlier_name_that_is_referred_by(prompts: PromptSpace) -> None:
    await prompts.create("tone", "first")
    assert (await prompts.post("name/tone/archive")).status_code == 200
    await story(prompts)
    assert (await prompts.post("name/tone/rename", {"new_name": "voice"})).status_code == 200
    assert refusal(await prompts.post("name/tone/restore"))[:2] == (409, "referenced")


async def test_the_append_refuses_a_taken_name_that_the_check_has_missed(
    prompts: PromptSpace, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def none(*_: object) -> list[object]:
        return []

    await story(prompts)
    assert (await prompts.post("name/tone/rename", {"new_name": "voice"})).status_code == 200
    monkeypatch.setattr("api.artifacts.references.led_by", none)
    assert (await prompts.post(json={"name": "tone", "prompt": "another"})).status_code == 503
    assert (await prompts.show())["prompt"] == 'Say it: Be "kind".\n'
    assert (await prompts.post("name/voice/rename", {"new_name": "tone"})).status_code == 200


async def test_a_prompt_that_refers_to_itself_by_a_label_keeps_the_label(prompts: PromptSpace) -> None:
    await prompts.create("tone", "Be kind.\n")
    await prompts.set_label("live", 1, "tone")
    await prompts.patch({"prompt": f"Say it: {BY_LABEL}", "base_version": 1}, "tone")
    # Its labels go with it, so a restore would not find what it refers to.
    for answer in (await prompts.post("name/tone/archive"), await prompts.delete("live", "tone")):
        assert refusal(answer)[:2] == (409, "referenced")
        assert answer.json()["referenced_by"] == [{"name": "tone", "version": 2, "label": None}]
    await prompts.patch({"prompt": "Be kind.\n", "base_version": 2}, "tone")
    assert (await prompts.post("name/tone/archive")).status_code == 200
    assert (await prompts.post("name/tone/restore")).status_code == 200


@pytest.mark.parametrize("renamed", [False, True])
async def test_a_prompt_that_refers_to_itself_by_a_version_comes_back(
    prompts: PromptSpace, renamed: bool
) -> None:
    await prompts.create("tone", "Be kind.\n")
    await prompts.patch({"prompt": f"Say it: {BY_VERSION}", "base_version": 1}, "tone")
    name = "manner" if renamed else "tone"
    if renamed:
        assert (await prompts.post("name/tone/rename", {"new_name": name})).status_code == 200
    assert (await prompts.post(f"name/{name}/archive")).status_code == 200
    assert (await prompts.post(f"name/{name}/restore")).status_code == 200
    assert (await prompts.show(name))["prompt"] == "Say it: Be kind.\n"
