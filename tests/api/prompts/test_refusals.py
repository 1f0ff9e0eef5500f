"""Bad input of every kind: the right status and code, and nothing written."""

from typing import Any

import pytest

from tests.support.prompt_space import PromptSpace
from tests.support.space import refusal

TEXT = "x"


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


CREATES: list[tuple[Any, str, str | None]] = [
    ({}, "required", "name"),
    ({"name": "a"}, "required", "prompt"),
    ({"name": None, "prompt": TEXT}, "null", "name"),
    ({"name": 5, "prompt": TEXT}, "invalid_input", "name"),
    ({"name": "", "prompt": TEXT}, "blank", "name"),
    ({"name": " \t", "prompt": TEXT}, "blank", "name"),
    ({"name": "new", "prompt": TEXT}, "reserved_name", "name"),
    ({"name": "NeW", "prompt": TEXT}, "reserved_name", "name"),
    ({"name": "x" * 256, "prompt": TEXT}, "max_length", "name"),
    ({"name": "a b", "prompt": TEXT}, "invalid_name", "name"),
    ({"name": "a.b", "prompt": TEXT}, "invalid_name", "name"),
    ({"name": "é", "prompt": TEXT}, "invalid_name", "name"),
    ({"name": "a/b", "prompt": TEXT}, "invalid_name", "name"),
    ({"name": "a\0", "prompt": TEXT}, "null_characters_not_allowed", "name"),
    ({"name": "a", "prompt": None}, "null", "prompt"),
    ({"name": "a", "prompt": "x\0"}, "null_characters_not_allowed", "prompt"),
    ({"name": "a", "prompt": {"k\0": 1}}, "null_characters_not_allowed", "prompt"),
    ({"name": "a", "prompt": [[{"k": ["\0"]}]]}, "null_characters_not_allowed", "prompt"),
    ({"name": "a", "prompt": nested(257)}, "max_depth", "prompt"),
    ({"name": "a", "prompt": "x" * 999_999}, "max_size", "prompt"),
    ({"name": "a", "prompt": ["é" * 499_999]}, "max_size", "prompt"),
    ({"name": "a", "prompt": TEXT, "config": []}, "invalid_input", "config"),
    ({"name": "a", "prompt": TEXT, "config": "{}"}, "invalid_input", "config"),
    ({"name": "a", "prompt": TEXT, "config": {"a": "\0"}}, "null_characters_not_allowed", "config"),
    ({"name": "a", "prompt": TEXT, "config": {"a": nested(32)}}, "max_depth", "config"),
    ({"name": "a", "prompt": TEXT, "config": {"a": "x" * 100_000}}, "max_size", "config"),
    ({"name": "a", "prompt": TEXT, "version_description": 1}, "invalid_input", "version_description"),
    ({"name": "a", "prompt": TEXT, "version_description": "x" * 401}, "max_length", "version_description"),
    ({"name": "a", "prompt": TEXT, "version_description": "\0"}, "null_characters_not_allowed", "version_description"),
    # The first in field order is the one reported.
    ({"version_description": 1, "prompt": None, "name": "a b"}, "invalid_name", "name"),
]  # fmt: skip

PUBLISHES: list[tuple[Any, int, str, str | None]] = [
    ({}, 400, "required", "prompt"),
    ({"prompt": TEXT}, 400, "required", "base_version"),
    ({"base_version": 1}, 400, "required", "prompt"),
    ({"base_version": 1, "version_description": "x"}, 400, "required", "prompt"),
    ({"base_version": 1, "prompt": None}, 400, "null", "prompt"),
    ({"base_version": 1, "prompt": TEXT, "edits": [{"old": "a", "new": "b"}]}, 400, "invalid_input", None),
    ({"base_version": 1, "edits": None}, 400, "null", "edits"),
    ({"base_version": 1, "edits": []}, 400, "invalid_input", "edits"),
    ({"base_version": 1, "edits": {}}, 400, "invalid_input", "edits"),
    ({"base_version": 1, "edits": [{"old": "a"}]}, 400, "required", "edits__0__new"),
    ({"base_version": 1, "edits": [{"old": "", "new": "b"}]}, 400, "blank", "edits__0__old"),
    ({"base_version": 1, "edits": [{"old": "a", "new": 1}]}, 400, "invalid_input", "edits__0__new"),
    ({"base_version": 1, "edits": [{"old": "o", "new": "b"}, 5]}, 400, "invalid_input", "edits__1"),
    ({"base_version": 1, "edits": [{"old": "o", "new": "\0"}]}, 400, "null_characters_not_allowed", "edits__0__new"),
    ({"base_version": 0, "prompt": TEXT}, 400, "min_value", "base_version"),
    ({"base_version": "1", "prompt": TEXT}, 400, "invalid_input", "base_version"),
    ({"base_version": 1.0, "prompt": TEXT}, 400, "invalid_input", "base_version"),
    ({"base_version": True, "prompt": TEXT}, 400, "invalid_input", "base_version"),
    ({"base_version": None, "prompt": TEXT}, 400, "null", "base_version"),
    ({"base_version": 1, "config": 5}, 400, "invalid_input", "config"),
    ({"base_version": 1, "config": {}, "version_description": "x" * 401}, 400, "max_length", "version_description"),
    ({"base_version": 1, "edits": [{"old": "zzz", "new": "b"}]}, 400, "edit_not_found", "edits__0__old"),
    ({"base_version": 1, "edits": [{"old": "o", "new": "x" * 1_000_001}]}, 400, "max_size", "edits__0__new"),
    ({"base_version": 2, "prompt": TEXT}, 409, "version_conflict", "base_version"),
]  # fmt: skip

RAW: list[tuple[bytes, int, str]] = [
    (b"", 400, "required"),
    (b"{", 400, "parse_error"),
    (b"[]", 400, "parse_error"),
    (b'"x"', 400, "parse_error"),
    (b"null", 400, "parse_error"),
    (b'{"name":"a","prompt":NaN}', 400, "parse_error"),
    (b'{"name":"a","prompt":1e}', 400, "parse_error"),
    (b'{"name":"a","prompt":01}', 400, "parse_error"),
    (b'{"name":"a","prompt":"\x01"}', 400, "parse_error"),
    (b'{"name":"a","prompt":"\xff"}', 400, "parse_error"),
    (b'{"name":"a","prompt":' + b"[" * 100_000 + b"]" * 100_000 + b"}", 400, "parse_error"),
    (b'{"name":"a","prompt":"\\ud800"}', 400, "surrogate_characters_not_allowed"),
    (b'{"name":"a","prompt":{"\\udfff":1e999}}', 400, "surrogate_characters_not_allowed"),
    (b'{"name":1e999,"prompt":1}', 400, "invalid_input"),
]


@pytest.mark.parametrize(("body", "code", "attr"), CREATES)
async def test_bad_creates(prompts: PromptSpace, body: Any, code: str, attr: str | None) -> None:
    head = await prompts.space.head()

    assert refusal(await prompts.post(json=body)) == (400, code, attr)

    assert await prompts.space.head() == head
    assert await prompts.names() == []


@pytest.mark.parametrize(("raw", "status", "code"), RAW)
async def test_bad_bodies(prompts: PromptSpace, raw: bytes, status: int, code: str) -> None:
    head = await prompts.space.head()

    answer = await prompts.space.at(
        "POST", "llm_prompts/", content=raw, headers={"content-type": "application/json"}
    )

    assert refusal(answer)[:2] == (status, code)
    assert await prompts.space.head() == head


@pytest.mark.parametrize(("body", "status", "code", "attr"), PUBLISHES)
async def test_bad_publishes(
    prompts: PromptSpace, body: Any, status: int, code: str, attr: str | None
) -> None:
    await prompts.create(prompt="one and two")
    head = await prompts.space.head()
    if code == "max_size":
        body = {**body, "edits": [{"old": "one", "new": body["edits"][0]["new"]}]}
    if code == "null_characters_not_allowed":
        body = {**body, "edits": [{"old": "one", "new": "\0"}]}

    answer = await prompts.patch(body)

    assert refusal(answer) == (status, code, attr)
    assert await prompts.space.head() == head


async def test_refusals_come_in_order(prompts: PromptSpace) -> None:
    assert refusal(await prompts.patch({"base_version": 9, "prompt": None}))[1] == "null"
    assert refusal(await prompts.patch({"base_version": 9, "prompt": "x"}))[0] == 404
    await prompts.create()
    edits = [{"old": "absent", "new": ""}]
    assert refusal(await prompts.patch({"base_version": 9, "edits": edits}))[0] == 409
    assert refusal(await prompts.patch({"base_version": 1, "edits": edits}))[1] == "edit_not_found"


async def test_a_taken_name(prompts: PromptSpace) -> None:
    await prompts.create()

    answer = await prompts.post(json={"name": " agent ", "prompt": "x"})

    assert refusal(answer) == (400, "unique", "name")
    assert "already exists" in answer.json()["detail"]


@pytest.mark.parametrize("new_name", [None, "", "new", "a b", 5, "x" * 256])
async def test_bad_duplicates(prompts: PromptSpace, new_name: Any) -> None:
    await prompts.create()
    head = await prompts.space.head()

    answer = await prompts.post("name/agent/duplicate", {"new_name": new_name})

    assert refusal(answer)[0] == 400
    assert answer.json()["attr"] == "new_name"
    assert refusal(await prompts.post("name/agent/duplicate", {}))[1:] == ("required", "new_name")
    assert refusal(await prompts.post("name/other/duplicate", {"new_name": "y"}))[0] == 404
    assert await prompts.space.head() == head


@pytest.mark.parametrize("name", ["%00", "a%00", "%ff", "a%2Fb", ".", "x" * 5000, "%25", "é"])
async def test_names_that_nothing_can_have(prompts: PromptSpace, name: str) -> None:
    for method, path in (
        ("GET", f"name/{name}"),
        ("GET", f"resolve/name/{name}"),
        ("POST", f"name/{name}/archive"),
        ("PUT", f"name/{name}/labels/live"),
        ("DELETE", f"name/{name}/labels/live"),
    ):
        answer = await prompts.space.at(
            method, f"llm_prompts/{path}", json={"version": 1} if method == "PUT" else None
        )
        assert answer.status_code in (400, 404, 405), (method, path, answer.text)
    answer = await prompts.space.at(
        "PATCH", f"llm_prompts/name/{name}", json={"prompt": 1, "base_version": 1}
    )
    assert answer.status_code in (400, 404, 405)


async def test_queries_are_checked(prompts: PromptSpace) -> None:
    await prompts.create()

    for query in (
        "version=0",
        "version=x",
        "version=1.0",
        "version=-1",
        "content=x",
        "label=%00",
        "version=%00",
    ):
        answer = await prompts.space.at("GET", f"llm_prompts/name/agent?{query}")
        assert refusal(answer)[0] == 400, query
    for query in ("search=%00", "created_by_id=x", "label=" + "a" * 129):
        answer = await prompts.space.at("GET", f"llm_prompts/?{query}")
        assert refusal(answer)[0] == 400, query
    for query in ("version=", "label=", "content=", "unknown=1", "version=00001"):
        answer = await prompts.space.at("GET", f"llm_prompts/name/agent?{query}")
        assert answer.status_code == 200, query
    answer = await prompts.space.at("GET", f"llm_prompts/name/agent?version={'9' * 40}")
    assert refusal(answer)[:2] == (404, "version_not_found")


async def test_values_at_the_limits_are_taken(prompts: PromptSpace) -> None:
    full = await prompts.create("full", "x" * 999_998)
    assert len(full["prompt"]) == 999_998
    await prompts.create("deep", nested(256))
    await prompts.create("wide", ["é" * 499_998])
    await prompts.create("blank", "")
    await prompts.create("space", " \r\n\t")
    assert (await prompts.show("space"))["prompt"] == " \r\n\t"
    await prompts.create("config", 1, config={"a": "x" * 99_992}, version_description="é" * 400)
    # Escapes and white space do not count.
    raw = b'{"name":"escaped","prompt": [ "' + b"\\u00e9" * 499_998 + b'" ] }'
    answer = await prompts.space.at(
        "POST", "llm_prompts/", content=raw, headers={"content-type": "application/json"}
    )
    assert answer.status_code == 201
    row = (await prompts.get("", params={"search": "escaped", "content": "none"})).json()["results"][0]
    assert row["prompt_size_bytes"] == 1_000_000


@pytest.mark.parametrize("prompt", [0, False, [], {}, "", "null", "None"])
async def test_every_value_but_null_is_a_prompt(prompts: PromptSpace, prompt: Any) -> None:
    created = await prompts.create(prompt=prompt)

    assert created["prompt"] == prompt
    assert type(created["prompt"]) is type(prompt)
    assert (await prompts.publish(1, prompt=prompt))["prompt"] == prompt


async def test_unknown_and_read_only_fields_are_ignored(prompts: PromptSpace) -> None:
    created = await prompts.create(
        version=7, id="x", labels=["live"], deleted=True, created_by=None, extra={"a": []}
    )

    assert (created["version"], created["labels"], created["deleted"]) == (1, [], False)
