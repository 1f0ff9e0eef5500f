"""Addresses, methods, bodies and query strings, before any rule of skills (contract, section 1)."""

import json
from typing import Any

import pytest

from store.tables import identity
from tests.support.space import NewSpace, Space, file, refusal, skill

ADDRESSES = [
    ("GET", "llm_skills"),
    ("GET", "llm_skills/name/pdf-forms"),
    ("GET", "llm_skills/name/pdf-forms/files/a/b.txt"),
    ("GET", "llm_skills/resolve/name/pdf-forms"),
    ("POST", "llm_skills"),
    ("PATCH", "llm_skills/name/pdf-forms"),
    ("POST", "llm_skills/name/pdf-forms/archive"),
    ("POST", "llm_skills/name/pdf-forms/duplicate"),
    ("POST", "llm_skills/name/pdf-forms/files"),
    ("POST", "llm_skills/name/pdf-forms/files-rename"),
    ("DELETE", "llm_skills/name/pdf-forms/files/a/b.txt"),
]
BODIES: dict[str, dict[str, Any]] = {
    "llm_skills": skill("other"),
    "llm_skills/name/pdf-forms": {"base_version": 1},
    "llm_skills/name/pdf-forms/duplicate": {"new_name": "copy"},
    "llm_skills/name/pdf-forms/files": file("new.txt"),
    "llm_skills/name/pdf-forms/files-rename": {"old_path": "a/b.txt", "new_path": "c.txt"},
}
WRITES = [address for address in ADDRESSES if address[0] in ("POST", "PATCH")]


@pytest.mark.parametrize("slash", ["", "/"])
@pytest.mark.parametrize("prefix", ["environments", "projects"])
@pytest.mark.parametrize(("method", "path"), ADDRESSES)
async def test_both_prefixes_with_and_without_a_slash(
    space: Space, prefix: str, slash: str, method: str, path: str
) -> None:
    await space.create(files=[file("a/b.txt")])

    answer = await space.at(
        method, f"/api/{prefix}/{space.id}/{path}{slash}", json=BODIES.get(path) if method != "GET" else None
    )

    assert answer.status_code in (200, 201, 204), answer.text


async def test_both_prefixes_show_the_same(space: Space) -> None:
    await space.create()

    for path in ("", "name/pdf-forms", "resolve/name/pdf-forms"):
        one, other = [
            await space.at("GET", f"/api/{prefix}/{space.id}/llm_skills/{path}")
            for prefix in ("environments", "projects")
        ]
        assert one.content == other.content


async def test_current_is_the_only_project_of_the_key(space: Space) -> None:
    await space.create()

    for prefix in ("environments", "projects"):
        answer = await space.at("GET", f"/api/{prefix}/@current/llm_skills/name/pdf-forms")
        assert answer.json()["name"] == "pdf-forms"


async def test_current_of_a_key_with_several_projects_is_the_one_of_the_token(new_space: NewSpace) -> None:
    one, two = await new_space(), await new_space()
    await one.create("in-one")
    await two.create("in-two")
    _, key = await identity.create_key(
        one.conn, email=one.user.email, scopes=["llm_skill:read"], project_ids=[one.id, two.id]
    )
    headers = {"Authorization": f"Bearer {key}"}

    for there in (one, two):
        answer = await one.at(
            "GET",
            "/api/projects/@current/llm_skills/",
            params={"token": there.project.api_token},
            headers=headers,
        )
        assert [row["name"] for row in answer.json()["results"]] == [f"in-{'one' if there is one else 'two'}"]
    wrong = await one.at(
        "GET", "/api/projects/@current/llm_skills/", params={"token": "skt_x"}, headers=headers
    )
    assert refusal(wrong)[:2] == (404, "not_found")


async def test_current_without_a_token_is_the_current_project_of_the_user(new_space: NewSpace) -> None:
    one, two = await new_space(), await new_space()
    await two.create("in-two")
    await one.conn.execute("UPDATE users SET current_project_id = %s WHERE id = %s", (two.id, one.user.id))
    _, key = await identity.create_key(
        one.conn, email=one.user.email, scopes=["llm_skill:read"], project_ids=[one.id, two.id]
    )

    answer = await one.at(
        "GET", "/api/projects/@current/llm_skills/", headers={"Authorization": f"Bearer {key}"}
    )

    assert [row["name"] for row in answer.json()["results"]] == ["in-two"]


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("DELETE", "llm_skills", {"GET", "HEAD", "POST"}),
        ("PUT", "llm_skills/name/pdf-forms", {"GET", "HEAD", "PATCH"}),
        ("DELETE", "llm_skills/name/pdf-forms/", {"GET", "HEAD", "PATCH"}),
        ("GET", "llm_skills/name/pdf-forms/archive", {"POST"}),
        ("HEAD", "llm_skills/name/pdf-forms/archive", {"POST"}),
        ("GET", "llm_skills/name/pdf-forms/duplicate/", {"POST"}),
        ("GET", "llm_skills/name/pdf-forms/files", {"POST"}),
        ("GET", "llm_skills/name/pdf-forms/files/", {"POST"}),
        ("PATCH", "llm_skills/name/pdf-forms/files-rename", {"POST"}),
        ("POST", "llm_skills/name/pdf-forms/files/a", {"GET", "HEAD", "DELETE"}),
        ("POST", "llm_skills/resolve/name/pdf-forms", {"GET", "HEAD"}),
    ],
)
async def test_a_method_that_a_route_lacks(space: Space, method: str, path: str, allow: set[str]) -> None:
    answer = await space.at(method, path)

    assert answer.status_code == 405
    assert set(answer.headers["allow"].split(", ")) - {"OPTIONS"} == allow
    if method != "HEAD":
        assert refusal(answer) == (405, "method_not_allowed", None)


@pytest.mark.parametrize(
    "path",
    ["", "nothing", "llm_skills/x", "llm_skills/name", "llm_skills/name/a/b", "llm_skills/resolve/name"],
)
async def test_an_unknown_route(space: Space, path: str) -> None:
    for address in (f"/api/environments/{space.id}/x{path}", f"/nothing/{path}"):
        assert refusal(await space.at("GET", address)) == (404, "not_found", None)
    if path.startswith("llm"):
        assert refusal(await space.at("GET", path))[:2] == (404, "not_found")


@pytest.mark.parametrize(("method", "path"), WRITES)
@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"]
)
async def test_another_content_type(space: Space, method: str, path: str, content_type: str) -> None:
    await space.create(files=[file("a/b.txt")])
    before = await space.head()

    answer = await space.at(
        method, path, content=json.dumps(BODIES.get(path, {})), headers={"Content-Type": content_type}
    )

    assert refusal(answer) == (415, "unsupported_media_type", None)
    assert await space.head() == before


@pytest.mark.parametrize(("method", "path"), WRITES)
@pytest.mark.parametrize(
    "content", [b"{", b"[]", b'"x"', b"null", b"1", b'{"a":\xff}', b"\x00", b'{"a":NaN}']
)
async def test_what_is_no_json_object(space: Space, method: str, path: str, content: bytes) -> None:
    await space.create(files=[file("a/b.txt")])
    before = await space.head()

    answer = await space.at(method, path, content=content, headers={"Content-Type": "application/json"})

    assert refusal(answer) == (400, "parse_error", None)
    assert answer.json()["type"] == "invalid_request"
    assert await space.head() == before


@pytest.mark.parametrize(
    ("method", "path", "first"),
    [
        ("POST", "", "name"),
        ("PATCH", "name/pdf-forms", "base_version"),
        ("POST", "name/pdf-forms/duplicate", "new_name"),
        ("POST", "name/pdf-forms/files", "path"),
        ("POST", "name/pdf-forms/files-rename", "old_path"),
    ],
)
async def test_an_empty_body_counts_as_an_empty_object(
    space: Space, method: str, path: str, first: str
) -> None:
    await space.create()

    for content, headers in ((b"", {}), (b"{}", {"Content-Type": "application/json"})):
        answer = await space.at(method, f"llm_skills/{path}", content=content, headers=headers)
        assert refusal(answer) == (400, "required", first)


async def test_unknown_and_read_only_fields_are_ignored(space: Space) -> None:
    created = await space.create(
        id="00000000-0000-0000-0000-000000000000",
        version=9,
        created_by={"id": 1},
        created_at="2001-01-01T00:00:00Z",
        deleted=True,
        is_latest=False,
        latest_version=7,
        outline=[],
        nonsense={"a": 1},
    )

    assert (created["version"], created["deleted"], created["is_latest"]) == (1, False, True)
    assert created["created_by"]["id"] == space.user.id
    assert created["outline"]
    published = await space.publish("pdf-forms", 1, name="other", version=5, latest_version=0)
    assert (published["name"], published["version"]) == ("pdf-forms", 2)


async def test_unknown_query_parameters_are_ignored_and_empty_ones_count_as_absent(space: Space) -> None:
    await space.create()

    assert await space.names(nonsense="x", version="x") == ["pdf-forms"]
    assert await space.names(search="", created_by_id="", order_by="", limit="", offset="") == ["pdf-forms"]
    await space.show(version="", body_offset="", body_length="")
    empty = {"version": "", "version_id": "", "limit": "", "offset": "", "before_version": ""}
    assert (await space.get("resolve/name/pdf-forms", params=empty)).status_code == 200
    assert (await space.get("resolve/name/pdf-forms?offset=&before_version=2")).status_code == 200


@pytest.mark.parametrize(
    ("path", "query", "code"),
    [
        ("", "limit=0", "min_value"),
        ("", "limit=-1", "min_value"),
        ("", "limit=x", "invalid_input"),
        ("", "limit=1.5", "invalid_input"),
        ("", "offset=-1", "min_value"),
        ("", "offset=x", "invalid_input"),
        ("", "created_by_id=me", "invalid_input"),
        ("", "order_by=body", "invalid_input"),
        ("", "order_by=--name", "invalid_input"),
        ("", "order_by=Name", "invalid_input"),
        ("name/pdf-forms", "version=0", "min_value"),
        ("name/pdf-forms", "version=latest", "invalid_input"),
        ("name/pdf-forms", "body_offset=-1", "min_value"),
        ("name/pdf-forms", "body_length=0", "min_value"),
        ("name/pdf-forms", "body_length=x", "invalid_input"),
        ("name/pdf-forms/files/a", "version=x", "invalid_input"),
        ("resolve/name/pdf-forms", "version=0", "min_value"),
        ("resolve/name/pdf-forms", "version_id=x", "invalid_input"),
        ("resolve/name/pdf-forms", "limit=0", "min_value"),
        ("resolve/name/pdf-forms", "limit=101", "max_value"),
        ("resolve/name/pdf-forms", "offset=-1", "min_value"),
        ("resolve/name/pdf-forms", "before_version=0", "min_value"),
    ],
)
async def test_a_known_query_parameter_with_a_bad_value(
    space: Space, path: str, query: str, code: str
) -> None:
    await space.create(files=[file("a")])

    assert refusal(await space.get(f"{path}?{query}")) == (400, code, query.partition("=")[0])


async def test_a_bad_base_version_in_the_query_of_a_delete(space: Space) -> None:
    await space.create(files=[file("a")])
    before = await space.head()

    assert refusal(await space.delete("name/pdf-forms/files/a?base_version=x"))[::2] == (400, "base_version")
    assert refusal(await space.delete("name/pdf-forms/files/a?base_version=0"))[::2] == (400, "base_version")
    assert await space.head() == before


@pytest.mark.parametrize("path", ["dir/a b.txt", "dir%2Fa%20b.txt", "dir%2fa%20b.txt/", "dir%5Ca%20b.txt"])
async def test_slashes_of_a_file_path_are_raw_or_encoded(space: Space, path: str) -> None:
    await space.create(files=[file("dir/a b.txt", "here")])

    answer = await space.get(f"name/pdf-forms/files/{path}")

    assert answer.json()["content"] == "here"
    assert (await space.delete(f"name/pdf-forms/files/{path}")).json()["files"] == []


async def test_percent_decoding_happens_once(space: Space) -> None:
    await space.create(files=[file("a%2Fb", "literal"), file("a/b", "folder"), file("100%", "percent")])

    assert (await space.get("name/pdf-forms/files/a%252Fb")).json()["content"] == "literal"
    assert (await space.get("name/pdf-forms/files/a%2Fb")).json()["content"] == "folder"
    assert (await space.get("name/pdf-forms/files/100%25")).json()["content"] == "percent"


@pytest.mark.parametrize(
    "path",
    ["SKILL.md", "a//b", "%2Fa", "a%2F..%2Fb", "..%2Fa", "a%2F.%2Fb", "a%0Ab", "a" * 501, "a%00b", "a%7Fb"],
)
async def test_a_path_in_an_address_keeps_the_rules_of_one_in_a_body(space: Space, path: str) -> None:
    await space.create(files=[file("a")])
    before = await space.head()

    for answer in (
        await space.get(f"name/pdf-forms/files/{path}"),
        await space.delete(f"name/pdf-forms/files/{path}"),
    ):
        assert refusal(answer)[::2] == (400, "file_path")
    assert await space.head() == before


@pytest.mark.parametrize(
    "name", ["a%00b", "%ED%A0%80", "%FF", "%C0%80", "a%20b", "😀", "x" * 3000, "%25", "a'b"]
)
async def test_odd_names_in_an_address_are_unknown_never_a_failure(space: Space, name: str) -> None:
    await space.create()

    for method, path in ADDRESSES:
        if "pdf-forms" in path:
            answer = await space.at(
                method, path.replace("pdf-forms", name), json=BODIES.get(path) if method != "GET" else None
            )
            assert refusal(answer)[0] in (400, 404), (method, path)


@pytest.mark.parametrize(
    "query", ["search=%00", "search=%ED%A0%80", "search=%FF", "version=%00", "x=%00", "%00=1"]
)
async def test_odd_characters_in_a_query_are_never_a_failure(space: Space, query: str) -> None:
    await space.create()

    for path in ("", "name/pdf-forms", "name/pdf-forms/files/a", "resolve/name/pdf-forms", "name/nobody"):
        assert (await space.get(f"{path}?{query}")).status_code in (200, 400, 404)


HEADS = [
    "llm_skills/",
    "llm_skills/name/pdf-forms",
    "llm_skills/name/pdf-forms?version=1",
    "llm_skills/name/pdf-forms?body_offset=2",
    "llm_skills/name/pdf-forms/files/a",
    "llm_skills/resolve/name/pdf-forms",
    "/api/users/@me/",
    "/api/personal_api_keys/@current",
    "llm_skills/name/nobody",
    "llm_skills/?limit=x",
    "/nowhere",
]


@pytest.mark.parametrize("path", HEADS)
async def test_head_is_get_without_the_body(space: Space, path: str) -> None:
    await space.create(files=[file("a")])

    # What is packed tells the length of what is sent.
    headers = {"Accept-Encoding": "identity"}
    get, head = [await space.at(method, path, headers=headers) for method in ("GET", "HEAD")]

    assert head.content == b""
    assert head.status_code == get.status_code
    kept = ("content-type", "content-length", "etag", "cache-control")
    assert [head.headers.get(name) for name in kept] == [get.headers.get(name) for name in kept]
    assert int(head.headers["content-length"]) == len(get.content)
