"""The table of errors: status, code, attr, extra keys; nothing is written (contract, section 2)."""

import asyncio
import json
from time import monotonic
from typing import Any

import pytest

from store.tables import identity
from tests.support.space import NewSpace, Space, file, refusal, skill

HUGE = "x" * 1_000_001


async def refused(space: Space, method: str, path: str, body: Any = None, **options: Any) -> tuple[Any, ...]:
    """Status, code, attr and the extra keys of a refusal; checks that the log did not move."""
    before = await space.head()
    answer = await space.at(method, f"llm_skills/{path}", json=body, **options)
    assert await space.head() == before
    status, code, attr = refusal(answer)
    extra = {
        name: value for name, value in answer.json().items() if name not in ("type", "code", "detail", "attr")
    }
    return status, code, attr, extra


async def test_no_credential_and_a_bad_one(space: Space) -> None:
    for value, code in (("", "not_authenticated"), ("Bearer sk_wrong", "authentication_failed")):
        for method, path in (("GET", ""), ("POST", ""), ("PATCH", "name/x"), ("DELETE", "name/x/files/y")):
            answer = await space.at(method, f"llm_skills/{path}", headers={"Authorization": value})
            assert refusal(answer) == (401, code, None)
            assert answer.headers["www-authenticate"] == "Bearer"


async def test_a_missing_scope_is_named(new_space: NewSpace) -> None:
    space = await new_space(scopes=("llm_skill:read",))

    answer = await space.post(json=skill())
    assert refusal(answer) == (403, "permission_denied", None)
    assert "required scope 'llm_skill:write'" in answer.json()["detail"]
    assert (await space.get("")).status_code == 200

    prompts = await new_space(scopes=("llm_prompt:write",))
    answer = await prompts.get("")
    assert "required scope 'llm_skill:read'" in answer.json()["detail"]


async def test_write_and_star_include_reading(new_space: NewSpace) -> None:
    for scopes in (("llm_skill:write",), ("*",)):
        space = await new_space(scopes=scopes)
        assert (await space.get("")).status_code == 200
        await space.create()


async def test_a_project_that_the_key_may_not_enter_and_an_unknown_one(new_space: NewSpace) -> None:
    space, other = await new_space(), await new_space()

    assert refusal(await space.at("GET", f"/api/projects/{other.id}/llm_skills/")) == (
        403,
        "permission_denied",
        None,
    )
    for unknown in ("999999999", "999999999999999999999999", "0", "-1", "abc", "@other", "%00", "1.0"):
        answer = await space.at("GET", f"/api/projects/{unknown}/llm_skills/")
        assert refusal(answer) == (404, "not_found", None), unknown


async def test_401_comes_before_403_before_404_before_400(new_space: NewSpace) -> None:
    space = await new_space(scopes=("llm_skill:read",))
    unknown = "/api/projects/999999999/llm_skills/name/nobody"

    nobody = await space.at("PATCH", unknown, headers={"Authorization": "Bearer x"}, content=b"{")
    assert nobody.status_code == 401
    assert (await space.at("PATCH", unknown, content=b"{")).status_code == 403
    writer = await new_space()
    assert (await writer.at("PATCH", unknown, content=b"{")).status_code == 404
    broken = await writer.at(
        "PATCH", "llm_skills/name/nobody", content=b"{", headers={"Content-Type": "application/json"}
    )
    assert broken.status_code == 400


UNKNOWN_SKILL = [
    ("GET", "name/pdf-form", None),
    ("GET", "name/pdf-form?version=1", None),
    ("GET", "name/pdf-form/files/a", None),
    ("GET", "resolve/name/pdf-form", None),
    ("PATCH", "name/pdf-form", {"base_version": 7, "edits": [{"old": "x", "new": "y"}]}),
    ("POST", "name/pdf-form/archive", None),
    ("POST", "name/pdf-form/duplicate", {"new_name": "copy"}),
    ("POST", "name/pdf-form/files", file("a")),
    ("POST", "name/pdf-form/files-rename", {"old_path": "a", "new_path": "b"}),
    ("DELETE", "name/pdf-form/files/a", None),
]


@pytest.mark.parametrize(("method", "path", "body"), UNKNOWN_SKILL)
async def test_an_unknown_skill_has_close_names(space: Space, method: str, path: str, body: Any) -> None:
    await space.create("pdf-forms")
    await space.create("unrelated")

    assert await refused(space, method, path, body) == (
        404,
        "not_found",
        None,
        {"suggestions": ["pdf-forms"]},
    )


async def test_at_most_three_names_are_suggested(space: Space) -> None:
    for number in range(5):
        await space.create(f"pdf-form-{number}")

    *_, extra = await refused(space, "GET", "name/pdf-form")
    assert len(extra["suggestions"]) == 3
    *_, extra = await refused(space, "GET", "name/zzzzzz")
    assert extra == {"suggestions": []}


async def test_an_unknown_file_has_close_paths(space: Space) -> None:
    await space.create(files=[file("scripts/fill.py"), file("z")])

    for method, path, body in (
        ("GET", "name/pdf-forms/files/scripts/fil.py", None),
        ("DELETE", "name/pdf-forms/files/scripts/fil.py", None),
        ("POST", "name/pdf-forms/files-rename", {"old_path": "scripts/fil.py", "new_path": "b"}),
    ):
        found = await refused(space, method, path, body)
        assert found == (404, "not_found", None, {"suggestions": ["scripts/fill.py"]})


async def test_an_unknown_version_lists_the_newest_twenty(space: Space) -> None:
    await space.create(files=[file("a")])
    for number in range(1, 22):
        await space.publish("pdf-forms", number)

    newest = {"available_versions": list(range(22, 2, -1))}
    for path in ("name/pdf-forms", "name/pdf-forms/files/a", "resolve/name/pdf-forms"):
        for version in (23, 2**31, 10**25):
            found = await refused(space, "GET", f"{path}?version={version}")
            assert found == (404, "version_not_found", None, newest)
    unknown = "resolve/name/pdf-forms?version_id=00000000-0000-0000-0000-000000000000"
    assert await refused(space, "GET", unknown) == (404, "version_not_found", None, newest)


@pytest.mark.parametrize("base", [1, 3, 2**31, 10**30])
async def test_a_stale_base_version(space: Space, base: int) -> None:
    await space.create(files=[file("a")])
    await space.publish("pdf-forms", 1)

    for method, path, body in (
        ("PATCH", "name/pdf-forms", {"base_version": base, "body": "x"}),
        ("POST", "name/pdf-forms/files", file("b", base_version=base)),
        ("POST", "name/pdf-forms/files-rename", {"old_path": "a", "new_path": "b", "base_version": base}),
        ("DELETE", f"name/pdf-forms/files/a?base_version={base}", None),
    ):
        found = await refused(space, method, path, body)
        assert found == (409, "version_conflict", "base_version", {"current_version": 2})


async def test_a_file_that_is_already_there(space: Space) -> None:
    await space.create(files=[file("a"), file("b/c")])

    found = await refused(space, "POST", "name/pdf-forms/files", file("b\\c"))
    assert found == (409, "file_exists", "path", {})
    rename = {"old_path": "a", "new_path": "b/c"}
    assert await refused(space, "POST", "name/pdf-forms/files-rename", rename) == (
        409,
        "file_exists",
        "new_path",
        {},
    )
    same = {"old_path": "a", "new_path": "a"}
    assert (await refused(space, "POST", "name/pdf-forms/files-rename", same))[:2] == (409, "file_exists")


async def test_a_name_that_is_taken(space: Space) -> None:
    await space.create("one")
    await space.create("two")

    for path, body, attr in (
        ("", skill("one"), "name"),
        ("", skill(" one\n"), "name"),
        ("name/one/duplicate", {"new_name": "two"}, "new_name"),
        ("name/one/duplicate", {"new_name": "one"}, "new_name"),
    ):
        assert await refused(space, "POST", path, body) == (400, "unique", attr, {})
        assert "already exists" in (await space.post(path, body)).json()["detail"]


async def test_edits_that_do_not_fit(space: Space) -> None:
    await space.create(body="one two two", files=[file("a/b", "x x")])

    async def publish(**body: Any) -> tuple[Any, ...]:
        return await refused(space, "PATCH", "name/pdf-forms", {"base_version": 1, **body})

    good = {"old": "one", "new": "three"}
    assert await publish(edits=[good, {"old": "one", "new": ""}]) == (
        400,
        "edit_not_found",
        "edits__1__old",
        {"edit_index": 1},
    )
    assert await publish(edits=[good, {"old": "two", "new": ""}]) == (
        400,
        "edit_ambiguous",
        "edits__1__old",
        {"edit_index": 1},
    )
    assert await publish(file_edits=[{"path": "a\\b", "edits": [{"old": "x", "new": ""}]}]) == (
        400,
        "edit_ambiguous",
        "file_edits__0__edits__0__old",
        {"edit_index": 0, "file_path": "a/b"},
    )
    assert await publish(file_edits=[{"path": "a/b", "edits": [{"old": "y", "new": ""}]}]) == (
        400,
        "edit_not_found",
        "file_edits__0__edits__0__old",
        {"edit_index": 0, "file_path": "a/b"},
    )
    assert await publish(file_edits=[{"path": "c", "edits": [{"old": "y", "new": ""}]}]) == (
        400,
        "file_not_found",
        "file_edits__0__path",
        {"file_path": "c"},
    )
    for old, times in (("none", "0 times"), ("two", "2 times")):
        answer = await space.patch("pdf-forms", {"base_version": 1, "edits": [{"old": old, "new": ""}]})
        assert times in answer.json()["detail"]


async def test_too_big_after_edits(space: Space) -> None:
    await space.create(body="a b", files=[file("f", "a b")])
    edits = [{"old": "a", "new": "x" * 600_000}, {"old": "b", "new": "y" * 600_000}]

    found = await refused(space, "PATCH", "name/pdf-forms", {"base_version": 1, "edits": edits})
    assert (found[0], found[1], found[3]) == (400, "max_size", {"edit_index": 1})
    found = await refused(
        space, "PATCH", "name/pdf-forms", {"base_version": 1, "file_edits": [{"path": "f", "edits": edits}]}
    )
    assert (found[0], found[1], found[3]) == (400, "max_size", {"edit_index": 1, "file_path": "f"})
    shrinking = [*edits, {"old": "x" * 600_000, "new": ""}]
    await space.publish("pdf-forms", 1, edits=shrinking)


async def test_edits_may_not_leave_a_blank_body(space: Space) -> None:
    await space.create(body="all", files=[file("f", "all")])

    blank = {"base_version": 1, "edits": [{"old": "all", "new": " \n"}]}
    found = await refused(space, "PATCH", "name/pdf-forms", blank)
    assert (found[0], found[1]) == (400, "blank")
    # A file may be empty.
    await space.publish("pdf-forms", 1, file_edits=[{"path": "f", "edits": [{"old": "all", "new": ""}]}])
    assert (await space.get("name/pdf-forms/files/f")).json()["content"] == ""


CREATE: list[tuple[dict[str, Any], str, str | None]] = [
    ({"name": None}, "null", "name"),
    ({"name": 5}, "invalid_input", "name"),
    ({"name": " "}, "blank", "name"),
    ({"name": "x" * 65}, "max_length", "name"),
    *(
        ({"name": name}, "invalid_name", "name")
        for name in ("A", "a_b", "a--b", "-a", "a-", "é", "a b", "a.b", "a\nb")
    ),
    *(({"name": name}, "reserved_name", "name") for name in ("new", "NEW", "New", " new ")),
    ({"description": None}, "null", "description"),
    ({"description": "\t\n "}, "blank", "description"),
    ({"description": ["x"]}, "invalid_input", "description"),
    ({"description": "x" * 1025}, "max_length", "description"),
    ({"body": None}, "null", "body"),
    ({"body": ""}, "blank", "body"),
    ({"body": " \r\n\t"}, "blank", "body"),
    ({"body": 1}, "invalid_input", "body"),
    ({"body": HUGE}, "max_size", "body"),
    ({"body": "é" * 500_001}, "max_size", "body"),
    ({"license": None}, "null", "license"),
    ({"license": "x" * 256}, "max_length", "license"),
    ({"compatibility": "x" * 501}, "max_length", "compatibility"),
    ({"compatibility": False}, "invalid_input", "compatibility"),
    ({"allowed_tools": None}, "null", "allowed_tools"),
    ({"allowed_tools": "Read"}, "invalid_input", "allowed_tools"),
    ({"allowed_tools": {}}, "invalid_input", "allowed_tools"),
    ({"allowed_tools": ["Read", 1]}, "invalid_input", "allowed_tools__1"),
    ({"allowed_tools": ["Read", None]}, "null", "allowed_tools__1"),
    ({"allowed_tools": ["Read", " "]}, "blank", "allowed_tools__1"),
    *(
        ({"allowed_tools": [tool]}, "invalid_input", "allowed_tools__0")
        for tool in (
            "git log",
            "Bash(a b",
            "Bash a)",
            "Bash(a)(b c)",
            "Bash((a b))",
            "B c(a b)",
            "a\tb",
            "(a) b",
        )
    ),
    ({"metadata": None}, "null", "metadata"),
    ({"metadata": []}, "invalid_input", "metadata"),
    ({"metadata": "{}"}, "invalid_input", "metadata"),
    ({"metadata": {"k": "x" * 100_000}}, "max_size", "metadata"),
    ({"files": None}, "null", "files"),
    ({"files": {}}, "invalid_input", "files"),
    ({"files": ["a"]}, "invalid_input", "files__0"),
    ({"files": [None]}, "null", "files__0"),
    ({"files": [file(str(number)) for number in range(201)]}, "max_length", "files"),
    ({"files": [file("a"), {"content": "x"}]}, "required", "files__1__path"),
    ({"files": [file("a"), {"path": "b"}]}, "required", "files__1__content"),
    ({"files": [file("a"), file("b", HUGE)]}, "max_size", "files__1__content"),
    ({"files": [file("a", content_type="x" * 101)]}, "max_length", "files__0__content_type"),
    ({"files": [file("a", content_type=None)]}, "null", "files__0__content_type"),
    ({"files": [{"path": "a", "content": None}]}, "null", "files__0__content"),
    ({"files": [{"path": None, "content": ""}]}, "null", "files__0__path"),
    ({"files": [file("")]}, "blank", "files__0__path"),
    ({"files": [file("x" * 501)]}, "max_length", "files__0__path"),
    *(
        ({"files": [file(path)]}, None, "files__0__path")  # type: ignore[list-item]
        for path in (
            "/a",
            "\\a",
            "a/",
            "a\\",
            "a//b",
            "./a",
            "a/./b",
            "../a",
            "a/..",
            ".",
            "..",
            "a\nb",
            "a\x7fb",
            "a\x85b",
            "\t",
            "SKILL.md",
            "skill.MD",
            "a/\x1fb",
        )
    ),
    ({"files": [file("a"), file("b"), file("a")]}, None, "files__2__path"),  # type: ignore[list-item]
    ({"files": [file("a\\b"), file("a/b")]}, None, "files__1__path"),  # type: ignore[list-item]
    ({"files": [file("a"), file("a/b")]}, None, "files__1__path"),  # type: ignore[list-item]
    ({"files": [file("a/b/c"), file("a")]}, None, "files__1__path"),  # type: ignore[list-item]
]


@pytest.mark.parametrize(("change", "code", "attr"), CREATE, ids=lambda value: repr(value)[:40])
async def test_create_names_the_field_that_breaks_a_rule(
    space: Space, change: dict[str, Any], code: str | None, attr: str
) -> None:
    status, found, blamed, extra = await refused(
        space, "POST", "", skill(**change) if "name" not in change else {**skill(), **change}
    )

    assert (status, blamed, extra) == (400, attr, {})
    assert code is None or found == code


@pytest.mark.parametrize("field", ["name", "description", "body"])
async def test_create_asks_for_what_is_missing(space: Space, field: str) -> None:
    body = {name: value for name, value in skill().items() if name != field}

    assert await refused(space, "POST", "", body) == (400, "required", field, {})


async def test_the_first_error_in_field_order_is_reported(space: Space) -> None:
    wrong = {
        "files": [{}],
        "metadata": 1,
        "allowed_tools": 1,
        "compatibility": 1,
        "license": 1,
        "body": 1,
        "description": 1,
        "name": 1,
    }
    order = [
        "name",
        "description",
        "body",
        "license",
        "compatibility",
        "allowed_tools",
        "metadata",
        "files__0__path",
    ]
    right = {**skill(), "license": "", "compatibility": "", "allowed_tools": [], "metadata": {}, "files": []}

    for field in order:
        assert (await refused(space, "POST", "", wrong))[2] == field
        wrong[field.partition("__")[0]] = right[field.partition("__")[0]]


PUBLISH: list[tuple[dict[str, Any], str, str | None]] = [
    ({"base_version": None}, "null", "base_version"),
    ({"base_version": "1"}, "invalid_input", "base_version"),
    ({"base_version": 1.0}, "invalid_input", "base_version"),
    ({"base_version": True}, "invalid_input", "base_version"),
    ({"base_version": 0}, "min_value", "base_version"),
    ({"base_version": -1}, "min_value", "base_version"),
    ({"body": "x", "edits": [{"old": "a", "new": "b"}]}, "invalid_input", None),
    (
        {"files": [], "file_edits": [{"path": "a", "edits": [{"old": "a", "new": "b"}]}]},
        "invalid_input",
        None,
    ),
    ({"body": " "}, "blank", "body"),
    ({"body": None}, "null", "body"),
    ({"edits": None}, "null", "edits"),
    ({"edits": []}, "invalid_input", "edits"),
    ({"edits": {}}, "invalid_input", "edits"),
    ({"edits": [{"new": "b"}]}, "required", "edits__0__old"),
    ({"edits": [{"old": "a"}]}, "required", "edits__0__new"),
    ({"edits": [{"old": "", "new": "b"}]}, "blank", "edits__0__old"),
    ({"edits": [{"old": None, "new": "b"}]}, "null", "edits__0__old"),
    ({"edits": [{"old": "a", "new": None}]}, "null", "edits__0__new"),
    ({"edits": [{"old": "a", "new": "b"}, 1]}, "invalid_input", "edits__1"),
    ({"file_edits": []}, "invalid_input", "file_edits"),
    ({"file_edits": [{"edits": [{"old": "a", "new": "b"}]}]}, "required", "file_edits__0__path"),
    ({"file_edits": [{"path": "a"}]}, "required", "file_edits__0__edits"),
    ({"file_edits": [{"path": "a", "edits": []}]}, "invalid_input", "file_edits__0__edits"),
    (
        {"file_edits": [{"path": "/a", "edits": [{"old": "a", "new": "b"}]}]},
        "invalid_path",
        "file_edits__0__path",
    ),
    (
        {"file_edits": [{"path": path, "edits": [{"old": "x", "new": "b"}]} for path in ("a/b", "a\\b")]},
        "duplicate_path",
        "file_edits__1__path",
    ),
    ({"description": ""}, "blank", "description"),
    ({"license": "x" * 256}, "max_length", "license"),
    ({"metadata": None}, "null", "metadata"),
    ({"files": [file("a"), file("a")]}, "duplicate_path", "files__1__path"),
]


@pytest.mark.parametrize(("change", "code", "attr"), PUBLISH, ids=lambda value: repr(value)[:40])
async def test_publish_names_the_field_that_breaks_a_rule(
    space: Space, change: dict[str, Any], code: str, attr: str | None
) -> None:
    await space.create(files=[file("a/b")])

    found = await refused(space, "PATCH", "name/pdf-forms", {"base_version": 1, **change})
    assert found == (400, code, attr, {})


async def test_publish_asks_for_its_base(space: Space) -> None:
    await space.create()

    assert await refused(space, "PATCH", "name/pdf-forms", {"body": "x"}) == (
        400,
        "required",
        "base_version",
        {},
    )


OTHERS = [
    ("duplicate", {}, "required", "new_name"),
    ("duplicate", {"new_name": None}, "null", "new_name"),
    ("duplicate", {"new_name": "New"}, "reserved_name", "new_name"),
    ("duplicate", {"new_name": "a b"}, "invalid_name", "new_name"),
    ("duplicate", {"new_name": "x" * 65}, "max_length", "new_name"),
    ("files", {"content": ""}, "required", "path"),
    ("files", {"path": "b"}, "required", "content"),
    ("files", file("skill.md"), "reserved_path", "path"),
    ("files", file("a/b/c"), "path_conflict", "path"),
    ("files", file("a"), "path_conflict", "path"),
    ("files", file("b", HUGE), "max_size", "content"),
    ("files", file("b", base_version=0), "min_value", "base_version"),
    ("files", file("b", base_version=None), "null", "base_version"),
    ("files-rename", {"new_path": "b"}, "required", "old_path"),
    ("files-rename", {"old_path": "b"}, "required", "new_path"),
    ("files-rename", {"old_path": "a/b", "new_path": "../b"}, "invalid_path", "new_path"),
    ("files-rename", {"old_path": "a/b", "new_path": "c/d"}, "path_conflict", "new_path"),
    ("files-rename", {"old_path": "a/b", "new_path": "SKILL.MD"}, "reserved_path", "new_path"),
]


@pytest.mark.parametrize(("action", "body", "code", "attr"), OTHERS, ids=lambda value: repr(value)[:40])
async def test_the_other_commands_name_the_field(
    space: Space, action: str, body: dict[str, Any], code: str, attr: str
) -> None:
    await space.create(files=[file("a/b"), file("c")])

    assert await refused(space, "POST", f"name/pdf-forms/{action}", body) == (400, code, attr, {})


async def test_a_rename_into_the_folder_that_the_file_was_in(space: Space) -> None:
    await space.create(files=[file("a/b")])

    for old, new in (("a/b", "a"), ("a", "a/c/d"), ("a/c/d", "a/c")):
        moved = await space.ok(
            200, await space.post("name/pdf-forms/files-rename", {"old_path": old, "new_path": new})
        )
        assert [entry["path"] for entry in moved["files"]] == [new]


async def test_the_201st_file_is_refused(space: Space) -> None:
    await space.create(files=[file(f"{number}") for number in range(200)])

    found = await refused(space, "POST", "name/pdf-forms/files", file("one-more"))
    assert found[:2] == (400, "max_length")


BAD_TEXTS = [
    ("POST", "", lambda bad: skill(f"a{bad}"), "name"),
    ("POST", "", lambda bad: skill(description=f"a{bad}"), "description"),
    ("POST", "", lambda bad: skill(body=f"a{bad}"), "body"),
    ("POST", "", lambda bad: skill(license=bad), "license"),
    ("POST", "", lambda bad: skill(compatibility=bad), "compatibility"),
    ("POST", "", lambda bad: skill(allowed_tools=["a", bad]), "allowed_tools__1"),
    ("POST", "", lambda bad: skill(metadata={"a": bad}), "metadata"),
    ("POST", "", lambda bad: skill(metadata={bad: 1}), "metadata"),
    ("POST", "", lambda bad: skill(metadata={"a": [{"b": {bad: []}}]}), "metadata"),
    ("POST", "", lambda bad: skill(files=[file(f"a{bad}")]), "files__0__path"),
    ("POST", "", lambda bad: skill(files=[file("a", bad)]), "files__0__content"),
    ("POST", "", lambda bad: skill(files=[file("a", content_type=bad)]), "files__0__content_type"),
    ("PATCH", "name/pdf-forms", lambda bad: {"edits": [{"old": bad, "new": ""}]}, "edits__0__old"),
    ("PATCH", "name/pdf-forms", lambda bad: {"edits": [{"old": "a", "new": bad}]}, "edits__0__new"),
    (
        "PATCH",
        "name/pdf-forms",
        lambda bad: {"file_edits": [{"path": "a", "edits": [{"old": "x", "new": bad}]}]},
        "file_edits__0__edits__0__new",
    ),
    ("POST", "name/pdf-forms/duplicate", lambda bad: {"new_name": bad}, "new_name"),
    ("POST", "name/pdf-forms/files", lambda bad: file("b", bad), "content"),
    ("POST", "name/pdf-forms/files-rename", lambda bad: {"old_path": bad, "new_path": "b"}, "old_path"),
    ("POST", "name/pdf-forms/files-rename", lambda bad: {"old_path": "a", "new_path": bad}, "new_path"),
]


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        ("\0", "null_characters_not_allowed"),
        ("\ud800", "surrogate_characters_not_allowed"),
        ("\udfffx", "surrogate_characters_not_allowed"),
    ],
    ids=["nul", "high", "low"],
)
@pytest.mark.parametrize(
    ("method", "path", "body", "attr"),
    BAD_TEXTS,
    ids=lambda value: "body" if callable(value) else str(value)[:30],
)
async def test_a_nul_or_a_lone_surrogate_in_any_text(
    space: Space, method: str, path: str, body: Any, attr: str, bad: str, code: str
) -> None:
    await space.create(files=[file("a")])
    before = await space.head()

    raw = json.dumps(body(bad), ensure_ascii=True).encode()
    answer = await space.at(
        method, f"llm_skills/{path}", content=raw, headers={"Content-Type": "application/json"}
    )

    assert refusal(answer) == (400, code, attr)
    assert await space.head() == before


async def test_a_body_over_the_cap(space: Space) -> None:
    before = await space.head()
    raw = json.dumps(skill(body="x" * 5_000_000)).encode()
    headers = {"Content-Type": "application/json"}

    async def chunks() -> Any:
        for start in range(0, len(raw), 500_000):
            yield raw[start : start + 500_000]

    for content in (raw, chunks()):
        answer = await space.at("POST", "llm_skills/", content=content, headers=headers)
        assert refusal(answer) == (413, "request_too_large", None)
    assert await space.head() == before


async def test_the_order_of_checks_of_a_publish(space: Space) -> None:
    await space.create(body="text")
    bad_edit = {"edits": [{"old": "absent", "new": ""}]}

    assert (await refused(space, "PATCH", "name/nobody", {"base_version": 7, "edits": []}))[0] == 400
    assert (await refused(space, "PATCH", "name/nobody", {"base_version": 7, **bad_edit}))[0] == 404
    assert (await refused(space, "PATCH", "name/pdf-forms", {"base_version": 7, **bad_edit}))[0] == 409
    assert (await refused(space, "PATCH", "name/pdf-forms", {"base_version": 1, **bad_edit}))[0] == 400
    # The files as well: payload, skill, version, file.
    assert (await refused(space, "POST", "name/nobody/files", file("/", base_version=7)))[0] == 400
    assert (await refused(space, "POST", "name/nobody/files", file("a", base_version=7)))[0] == 404
    rename = {"old_path": "absent", "new_path": "b", "base_version": 7}
    assert (await refused(space, "POST", "name/pdf-forms/files-rename", rename))[0] == 409
    assert (await refused(space, "DELETE", "name/pdf-forms/files/absent?base_version=7"))[0] == 409


async def test_an_expired_and_a_revoked_key(space: Space) -> None:
    key, secret = await identity.create_key(
        space.conn, email=space.user.email, scopes=["llm_skill:read"], project_ids=[space.id]
    )
    headers = {"Authorization": f"Bearer {secret}"}
    assert (await space.get("", headers=headers)).status_code == 200
    await identity.revoke_key(space.conn, key.id)

    # Written past the service, so it hears of it by notification.
    deadline = monotonic() + 5
    while (answer := await space.get("", headers=headers)).status_code == 200 and monotonic() < deadline:
        await asyncio.sleep(0.02)
    assert refusal(answer) == (401, "authentication_failed", None)
