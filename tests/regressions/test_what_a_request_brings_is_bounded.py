"""Edits, lists and numbers without a limit froze an API process for seconds or made events of many megabytes."""

import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from api import offload
from api.payload import decode as payload
from domain import content, names
from domain.content import Edit, EditWork, apply_edits
from domain.errors import Invalid
from domain.outline import by_events, outline, stays
from tests.support.document import DOCUMENT
from tests.support.prompt_space import PromptSpace
from tests.support.space import Space, file, refusal, skill

BODIES: dict[str, Any] = {
    name: DOCUMENT["components"]["schemas"][name]
    for methods in DOCUMENT["paths"].values()
    for operation in methods.values()
    for media in operation.get("requestBody", {}).get("content", {}).values()
    if (name := media["schema"]["$ref"].rpartition("/")[2])
}
# Only compared with the latest version: one of any size is a conflict, or there is no such version.
COMPARED = {f"{name}.base_version" for name in BODIES} | {"SetLabel.version"}
NO_OP = {"old": "needle", "new": "needle"}


async def publish(space: Space, base: int, **fields: Any) -> Any:
    return await space.patch("pdf-forms", {"base_version": base, **fields})


async def test_more_edits_than_a_request_may_bring_are_refused(space: Space) -> None:
    await space.create(body="a needle", files=[file("a.txt", "needle")])
    many = [NO_OP] * (content.MAX_EDITS + 1)

    answer = await publish(space, 1, edits=many)
    assert refusal(answer) == (400, "max_length", "edits")

    answer = await publish(space, 1, file_edits=[{"path": "a.txt", "edits": many}])
    assert refusal(answer) == (400, "max_length", "file_edits__0__edits")


async def test_more_edits_of_a_prompt_than_a_request_may_bring_are_refused(prompts: PromptSpace) -> None:
    await prompts.create()
    answer = await prompts.patch({"base_version": 1, "edits": [NO_OP] * (content.MAX_EDITS + 1)})
    assert refusal(answer) == (400, "max_length", "edits")


async def test_edits_that_look_through_too_much_are_refused_before_they_do(
    space: Space, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(content, "MAX_EDIT_WORK", 30_000)
    files = [file("a.txt", "needle" + "x" * 9_000), file("b.txt", "needle" + "x" * 9_000)]
    await space.create(body="a needle", files=files)
    both = [{"path": path, "edits": [NO_OP] * 2} for path in ("a.txt", "b.txt")]

    answer = await publish(space, 1, file_edits=both)

    assert refusal(answer) == (400, "too_much_work", "file_edits__1__edits__0")
    assert answer.json()["file_path"] == "b.txt"
    assert (await publish(space, 1, file_edits=both[:1])).status_code == 200
    answer = await publish(space, 2, edits=[{"old": "needle", "new": "needle" + "x" * 20_000}, NO_OP, NO_OP])
    assert refusal(answer)[:2] == (400, "too_much_work")


async def test_edited_files_that_do_not_fit_in_memory_together_are_not_read(
    space: Space, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(content, "MAX_EDITED_BYTES", 100)
    await space.create(files=[file("a.txt", "needle" * 10), file("b.txt", "needle" * 10)])

    answer = await publish(
        space, 1, file_edits=[{"path": path, "edits": [NO_OP]} for path in ("a.txt", "b.txt")]
    )

    assert refusal(answer) == (400, "max_size", "file_edits")


def test_the_work_of_many_edits_of_little_texts_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(content, "MAX_EDIT_WORK", 10 * content.EDIT_COST)
    edits = [Edit("a", "a")] * 11
    with pytest.raises(Invalid) as refused:
        apply_edits("a", edits, attr="edits", work=EditWork())
    assert (refused.value.code, refused.value.attr) == ("too_much_work", "edits__9")


def test_many_edits_are_not_looked_at_one_by_one_for_the_outline(monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[object] = []

    def look(*_: object) -> bool:
        looks.append(1)
        return True

    monkeypatch.setattr("domain.outline._is_prose", look)
    assert not stays("word", [Edit("word", "word")] * 1000)
    assert stays("word", [Edit("word", "word")])
    assert len(looks) == 1


@pytest.mark.parametrize("filler", [" ", "\t", "# ", " #"])
def test_a_heading_of_a_megabyte_is_read_in_one_pass(filler: str) -> None:
    # A pattern that tried each character as the end took hours; the suite's own time-out is the fence.
    text = "# a" + filler * (400_000 // len(filler)) + "b\\"
    assert [heading.level for heading in outline(text)] == [1]


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("# a", "a"),
        ("#", ""),
        ("# #", ""),
        ("## a ##  ", "a"),
        ("### a#", "a#"),
        ("# a \\#", "a \\#"),
        ("#\ta\t#\t", "a"),
        ("# a # b #\r\n", "a # b"),
        ("####### a\n---", "####### a"),
        ("#a\n===", "#a"),
    ],
)
def test_marks_of_a_heading_are_cut_off(source: str, text: str) -> None:
    assert [heading.text for heading in by_events(source)] == [text]


async def test_allowed_tools_have_a_limit(space: Space) -> None:
    answer = await space.post(json=skill(allowed_tools=["Read"] * (names.MAX_TOOLS + 1)))
    assert refusal(answer) == (400, "max_length", "allowed_tools")
    answer = await space.post(json=skill(allowed_tools=["Read", "x" * (names.MAX_TOOL + 1)]))
    assert refusal(answer) == (400, "max_length", "allowed_tools__1")


async def test_metadata_and_config_have_a_limit_of_keys(space: Space, prompts: PromptSpace) -> None:
    many = {str(number): 1 for number in range(1001)}
    assert refusal(await space.post(json=skill(metadata=many))) == (400, "max_length", "metadata")
    answer = await prompts.post(json={"name": "x", "prompt": "y", "config": many})
    assert refusal(answer) == (400, "max_length", "config")


async def test_labels_of_a_prompt_have_a_limit(prompts: PromptSpace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("domain.artifacts.versioned.MAX_LABELS", 2)
    await prompts.create()
    answers = [await prompts.put(label, {"version": 1}) for label in ("a", "b", "c", "a")]
    assert [answer.status_code for answer in answers] == [201, 201, 400, 200]
    assert refusal(answers[2]) == (400, "max_length", "label_name")


async def test_a_large_body_is_read_outside_of_the_event_loop(
    space: Space, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[Any] = []
    real = offload.offload

    async def spy(work: Any, *args: Any, **kwargs: Any) -> Any:
        ran.append(work)
        return await real(work, *args, **kwargs)

    monkeypatch.setattr(payload, "offload", spy)
    await space.post(json=skill())
    assert ran == []
    await space.post(json=skill("large", body="x" * 100_000))
    await space.at("POST", "llm_skills/name/large/archive", json={"ignored": "x" * 100_000})
    assert ran == [payload.decode] * 2


@pytest.mark.parametrize("broken", [b'{"a": [' + b"1," * 800_000 + b"1e400]}", b'{"a": "' + b"x" * 1_200_000])
async def test_a_large_body_that_is_refused_is_not_read_twice(
    space: Space, broken: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def twice(raw: bytes) -> None:
        raise AssertionError("parsed again")

    monkeypatch.setattr(payload, "parse", twice)
    answer = await space.at(
        "POST", "llm_skills/", content=broken, headers={"Content-Type": "application/json"}
    )
    assert (answer.status_code, answer.json()["type"]) == (400, "invalid_request")


async def test_a_body_of_millions_of_values_is_refused_before_it_is_read(space: Space) -> None:
    for pieces in (b"0," * 1_000_001 + b"0", b"[],{}," * 600_000 + b"0"):
        answer = await space.at(
            "POST",
            "llm_skills/",
            content=b'{"name": [' + pieces + b"]}",
            headers={"Content-Type": "application/json"},
        )
        assert answer.status_code == 400
        assert "1,000,000 values" in answer.json()["detail"]
    # Commas within a text are no values.
    text = json.dumps(skill(files=[file(f"{number}.csv", "a,b," * 200_000) for number in range(3)]))
    assert (await space.post(content=text, headers={"Content-Type": "application/json"})).status_code == 201


@pytest.mark.parametrize("number", ["1e400", "-1e400", "1" * 5000])
async def test_a_number_beyond_a_double_matters_only_where_it_is_read(space: Space, number: str) -> None:
    async def post(body: str) -> Any:
        return await space.post(content=body, headers={"Content-Type": "application/json"})

    fine = json.dumps(skill())[:-1]
    assert refusal(await post(f'{fine}, "metadata": {{"a": [{number}]}}}}')) == (
        400,
        "number_out_of_range",
        "metadata",
    )
    assert refusal(await post(f'{fine}, "license": {number}}}')) == (400, "invalid_input", "license")
    assert (await post(f'{fine}, "unknown": {{"deep": [{number}]}}}}')).status_code == 201
    answer = await space.at(
        "PATCH",
        "llm_skills/name/pdf-forms",
        content=f'{{"base_version": {number}, "license": "MIT"}}',
        headers={"Content-Type": "application/json"},
    )
    assert answer.status_code in (400, 409)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
async def test_a_byte_order_mark_is_named(space: Space, encoding: str) -> None:
    answer = await space.post(
        content=json.dumps(skill()).encode(encoding), headers={"Content-Type": "application/json"}
    )
    assert answer.status_code == 400
    assert "byte order mark" in answer.json()["detail"]


BEYOND = [
    str(sign * 2**power + sign * extra) for sign in (1, -1) for power in (31, 63, 64, 200) for extra in (0, 1)
]


def test_every_number_of_a_body_has_both_ends() -> None:
    found = [
        f"{name}.{field}"
        for name, struct in BODIES.items()
        for field, schema in struct.get("properties", {}).items()
        for one in (schema, *schema.get("anyOf", ()))
        if f"{name}.{field}" not in COMPARED
        and one.get("type") == "integer"
        and not {"minimum", "maximum"} <= one.keys()
    ]
    assert BODIES
    assert found == []


async def test_no_number_in_a_query_or_path_is_too_large_for_the_service(
    new_space: Callable[..., Awaitable[Space]],
) -> None:
    space = await new_space(scopes=("*",))
    await space.create()
    await space.at("POST", "llm_prompts/", json={"name": "pdf-forms", "prompt": "x"})
    head = await space.head()
    asked = 0
    for path, methods in DOCUMENT["paths"].items():
        numbers = [
            one["name"]
            for one in methods.get("get", {}).get("parameters", ())
            if one["in"] == "query" and one["schema"].get("type") == "integer"
        ]
        if "stream" in path or not path.startswith("/api/"):
            continue
        place = path.replace("{project_id}", str(space.id)).replace("{skill_name}", "pdf-forms")
        place = place.replace("{prompt_name}", "pdf-forms").replace("{file_path}", "a")
        for name in numbers:
            for value in BEYOND:
                for rest in ("", f"&position={head}"):
                    answer = await space.at("GET", f"{place}?{name}={value}{rest}")
                    assert answer.status_code < 500, (place, name, value, answer.text)
                    asked += 1
    assert asked > 100
    for value in BEYOND:
        for place in (f"/api/projects/{value}/llm_skills/", f"/api/environments/{value}/events/"):
            assert (await space.at("GET", place)).status_code < 500
        number = int(value)
        for method, place, body in (
            ("PATCH", "llm_skills/name/pdf-forms", {"base_version": number, "license": "MIT"}),
            ("POST", "llm_skills/name/pdf-forms/revert", {"base_version": 1, "version": number}),
            ("PUT", "llm_prompts/name/pdf-forms/labels/a", {"version": number}),
            ("POST", "webhooks/", {"url": "https://example.com/", "after": number}),
            ("POST", "shares/", {"expires_in": number}),
            ("DELETE", f"llm_skills/name/pdf-forms/files/a?base_version={value}", None),
        ):
            answer = await space.at(method, place, json=body)
            assert answer.status_code < 500, (place, value, answer.text)
        answer = await space.at("GET", "events", headers={"Last-Event-ID": value})
        assert answer.status_code < 500


def test_every_text_of_a_query_has_a_bound_in_the_document() -> None:
    found = [
        f"{path} {one['name']}"
        for path, methods in DOCUMENT["paths"].items()
        for operation in methods.values()
        for one in operation.get("parameters", ())
        if one["in"] == "query"
        and one["schema"].get("type") == "string"
        and not one["schema"].keys() & {"maxLength", "enum", "format"}
    ]
    assert found == []


def test_every_list_text_and_object_of_a_request_has_a_bound_in_the_document() -> None:
    found: list[str] = []

    seen: set[str] = set()

    def walk(place: str, node: Any) -> None:
        if isinstance(node, list):
            for item in node:
                walk(place, item)
        if not isinstance(node, dict):
            return
        if (name := node.get("$ref", "").rpartition("/")[2]) and name not in seen:
            seen.add(name)
            walk(name, DOCUMENT["components"]["schemas"][name])
        kind = node.get("type")
        if kind == "array" and "maxItems" not in node:
            found.append(f"{place}: list")
        if kind == "string" and not node.keys() & {"maxLength", "pattern", "enum", "format"}:
            found.append(f"{place}: text")
        if kind == "object" and "properties" not in node and "maxProperties" not in node:
            found.append(f"{place}: object")
        for name, inner in node.items():
            if name not in ("examples", "example", "not", "enum"):
                walk(f"{place}.{name}", inner)

    for path, operations in DOCUMENT["paths"].items():
        for method, operation in operations.items():
            for media in operation.get("requestBody", {}).get("content", {}).values():
                walk(f"{method} {path}", media["schema"])
    assert found == []
