"""``/v1/skills``: both shapes, what is refused and how, and what other doors see of it."""

import io
import zipfile
from typing import Any
from uuid import uuid4

import httpx
import msgspec
import pytest

from api.config import ApiConfig
from tests.support.archives import packed, skill_md, unzipped
from tests.support.governing import with_scopes
from tests.support.space import NewSpace, Space, file, running

ANTHROPIC = {"anthropic-version": "2026-10-21"}
UNKNOWN = f"skill_{'1' * 32}"
SCRIPT = b"#!/bin/sh\r\necho \xff\x00\n"

Part = tuple[str, tuple[str, bytes]]


def parts(name: str = "pdf-forms", body: str = "Read the form.\n", *files: tuple[str, bytes]) -> list[Part]:
    """A skill as the SDKs send one: a part for each file."""
    found = [
        (f"{name}/SKILL.md", skill_md(name, body=body)),
        *((f"{name}/{path}", data) for path, data in files),
    ]
    return [("files[]", one) for one in found]


async def create(space: Space, sent: Any = None, **options: Any) -> dict[str, Any]:
    return await space.ok(200, await space.at("POST", "v1/skills", files=sent or parts(), **options))


async def publish(space: Space, id: str, sent: Any, **options: Any) -> dict[str, Any]:
    return await space.ok(200, await space.at("POST", f"v1/skills/{id}/versions", files=sent, **options))


async def get(space: Space, path: str = "", **options: Any) -> dict[str, Any]:
    return await space.ok(200, await space.at("GET", f"v1/skills{path}", **options))


def refusal(answer: httpx.Response) -> tuple[int, str, str | None]:
    """Status, code and param of an error in OpenAI's shape."""
    error = answer.json()["error"]
    assert list(error) == ["message", "type", "param", "code"]
    assert len(error["message"]) > 10
    return answer.status_code, error["code"], error["param"]


async def test_given_a_skill_when_asked_then_each_sdk_gets_its_shape(space: Space) -> None:
    made = await create(
        space, parts("pdf-forms", "One.\n", ("run.sh", SCRIPT)), data={"display_name": " Forms "}
    )
    id = made["id"]
    assert made == {
        "id": id,
        "name": "pdf-forms",
        "description": "Fill in PDF forms.",
        "created_at": made["created_at"],
        "default_version": "1",
        "latest_version": "1",
        "object": "skill",
    }
    shown = await get(space, f"/{id}", headers=ANTHROPIC)
    assert shown == {
        "id": id,
        "display_name": "Forms",
        "latest_version_id": shown["latest_version_id"],
        "created_at": shown["created_at"],
        "updated_at": shown["created_at"],
        "source": {"type": "custom"},
        "type": "skill",
    }
    answer = await space.at("GET", f"v1/skills/{id}/", headers=ANTHROPIC)
    assert answer.headers["request-id"] == answer.headers["x-request-id"]
    again = await space.at(
        "GET", f"v1/skills/{id}", headers={**ANTHROPIC, "if-none-match": answer.headers["etag"]}
    )
    assert again.status_code == 304
    version = await get(space, f"/{id}/versions/latest")
    assert version == {
        "id": shown["latest_version_id"],
        "skill_id": id,
        "version": "1",
        "name": "pdf-forms",
        "description": "Fill in PDF forms.",
        "created_at": version["created_at"],
        "object": "skill.version",
    }
    for ref in ("1", "latest", version["id"]):
        assert (await get(space, f"/{id}/versions/{ref}", headers=ANTHROPIC))["id"] == version["id"]
    zipped = await space.at("GET", f"v1/skills/{id}/content")
    assert zipped.content == (await space.get("name/pdf-forms/export")).content
    assert unzipped(zipped.content)["pdf-forms/run.sh"] == SCRIPT


async def test_given_both_paginations_when_followed_then_every_skill_comes_once(space: Space) -> None:
    ids = [(await create(space, parts(f"skill-{number}")))["id"] for number in range(5)]
    await space.create("ours", files=[file("a.md")])
    await space.post("name/skill-1/rename", {"new_name": "renamed"})
    await space.publish("skill-2", 1, body="# Two\n")
    ours = (await get(space, "?limit=1"))["first_id"]

    async def followed(size: int, **headers: str) -> list[str]:
        found: list[str] = []
        query: dict[str, Any] = {"limit": size}
        while True:
            page = await get(space, params=query, headers=headers)
            found += [one["id"] for one in page["data"]]
            if not page["has_more"]:
                assert page.get("next_page") is None
                return found
            query |= {"page": page["next_page"]} if headers else {"after": page["last_id"]}

    falling = [ours, *reversed(ids)]
    for size in (1, 2, 3, 6, 100):
        assert await followed(size) == await followed(size, **ANTHROPIC) == falling
    rising = await get(space, "?order=asc&limit=2")
    assert ([one["id"] for one in rising["data"]], rising["has_more"]) == (ids[:2], True)
    # A page goes on behind a skill that is gone since.
    await space.at("DELETE", f"v1/skills/{ids[4]}")
    assert (await get(space, f"?after={ids[4]}&limit=1"))["first_id"] == ids[3]
    assert await followed(2) == [ours, *reversed(ids[:4])]
    assert (await get(space, "?source=anthropic", headers=ANTHROPIC))["data"] == []
    named = {one["id"]: one["display_name"] for one in (await get(space, headers=ANTHROPIC))["data"]}
    assert (named[ids[1]], named[ours]) == ("renamed", "ours")


async def test_given_versions_when_listed_then_both_orders_and_both_cursors_work(space: Space) -> None:
    id = (await create(space))["id"]
    for number in range(2, 6):
        await publish(space, id, parts("pdf-forms", f"Number {number}.\n"))
    listed = await get(space, f"/{id}/versions?limit=2")
    assert ([one["version"] for one in listed["data"]], listed["has_more"]) == (["5", "4"], True)
    rest = await get(space, f"/{id}/versions?after={listed['last_id']}")
    assert ([one["version"] for one in rest["data"]], rest["has_more"]) == (["3", "2", "1"], False)
    rising = await get(space, f"/{id}/versions?order=asc&limit=4")
    assert [one["version"] for one in rising["data"]] == ["1", "2", "3", "4"]
    page = await get(space, f"/{id}/versions?limit=4", headers=ANTHROPIC)
    last = await get(space, f"/{id}/versions", params={"page": page["next_page"]}, headers=ANTHROPIC)
    assert (len(last["data"]), last["next_page"]) == (1, None)


async def test_given_a_default_when_it_moves_then_it_is_the_label(space: Space) -> None:
    id = (await create(space))["id"]
    assert (await space.show(label="default"))["labels"] == ["default"]
    await publish(space, id, parts("pdf-forms", "Two.\n"))
    assert (await space.show(label="default"))["version"] == 1
    await publish(space, id, parts("pdf-forms", "Three.\n"), data={"default": "true"})
    shown = await space.show()
    assert (shown["version"], shown["labels"]) == (3, ["default"])
    two = (await get(space, f"/{id}/versions/2"))["id"]
    for ref, number in (("1", "1"), (two, "2"), ("latest", "3")):
        moved = await space.at("POST", f"v1/skills/{id}", json={"default_version": ref})
        assert moved.json()["default_version"] == number
    assert (await space.show(label="default"))["version"] == 3
    await space.delete("name/pdf-forms/labels/default")
    await publish(space, id, parts("pdf-forms", "Four.\n"))
    assert (await get(space, f"/{id}"))["default_version"] == "4"


async def test_given_what_changes_nothing_when_published_then_it_is_a_version(space: Space) -> None:
    id = (await create(space, parts("pdf-forms", "One.\n", ("a.bin", SCRIPT))))["id"]
    second = await publish(space, id, parts("pdf-forms", "One.\n", ("a.bin", SCRIPT)))
    assert second["version"] == "2"
    third = await publish(space, id, [("files", ("x.zip", packed(body="Three.\n")))])
    assert third["version"] == "3"
    assert (await space.show())["files"] == []


async def test_given_a_rename_an_archive_and_a_restore_when_asked_then_the_id_is_the_same(
    space: Space,
) -> None:
    id = (await create(space, data={"display_title": "Forms"}))["id"]
    await publish(space, id, parts("pdf-forms", "Two.\n"))
    await space.post("name/pdf-forms/rename", {"new_name": "forms"})
    assert (await get(space, f"/{id}"))["name"] == "forms"
    assert (await publish(space, id, parts("forms", "Three.\n")))["name"] == "forms"
    first = await space.at("GET", f"v1/skills/{id}/versions/1/content")
    assert list(unzipped(first.content)) == ["pdf-forms/SKILL.md"]
    assert (await get(space, f"/{id}/versions/1"))["name"] == "pdf-forms"
    assert refusal(await space.at("POST", f"v1/skills/{id}/versions", files=parts()))[1:] == (
        "other_name",
        "files",
    )
    deleted = await space.at("DELETE", f"v1/skills/{id}", headers=ANTHROPIC)
    assert deleted.json() == {"id": id, "type": "skill_deleted"}
    assert refusal(await space.at("GET", f"v1/skills/{id}")) == (404, "not_found", None)
    assert refusal(await space.at("DELETE", f"v1/skills/{id}")) == (404, "not_found", None)
    await space.post("name/forms/restore", {})
    assert (await get(space, f"/{id}", headers=ANTHROPIC))["display_name"] == "Forms"


async def test_given_a_deleted_version_when_asked_then_it_is_withdrawn_everywhere_here(space: Space) -> None:
    id = (await create(space))["id"]
    assert refusal(await space.at("DELETE", f"v1/skills/{id}/versions/1")) == (400, "last_version", None)
    two = await publish(space, id, parts("pdf-forms", "Two.\n"))
    three = await publish(space, id, parts("pdf-forms", "Three.\n"), data={"default": "true"})
    assert refusal(await space.at("DELETE", f"v1/skills/{id}/versions/latest"))[0] == 404
    deleted = await space.at("DELETE", f"v1/skills/{id}/versions/{three['id']}")
    assert deleted.json() == {
        "id": three["id"],
        "version": "3",
        "deleted": True,
        "object": "skill.version.deleted",
    }
    assert int(deleted.headers["x-event-position"]) == await space.head()
    shown = await get(space, f"/{id}")
    # The label points to what is withdrawn, so the latest stands in.
    assert (shown["default_version"], shown["latest_version"]) == ("2", "2")
    assert [one["version"] for one in (await get(space, f"/{id}/versions"))["data"]] == ["2", "1"]
    assert (await get(space, f"/{id}/versions/latest"))["id"] == two["id"]
    for ref in ("3", three["id"]):
        assert refusal(await space.at("GET", f"v1/skills/{id}/versions/{ref}"))[0] == 404
        assert refusal(await space.at("GET", f"v1/skills/{id}/versions/{ref}/content"))[0] == 404
        assert refusal(await space.at("DELETE", f"v1/skills/{id}/versions/{ref}"))[0] == 404
    assert refusal(await space.at("POST", f"v1/skills/{id}", json={"default_version": "3"}))[0] == 404
    zipped = await space.at("GET", f"v1/skills/{id}/content")
    assert b"Two." in unzipped(zipped.content)["pdf-forms/SKILL.md"]
    # A page goes on behind it, and a pin of it says why.
    assert (await get(space, f"/{id}/versions?after={three['id']}&limit=1"))["first_id"] == two["id"]
    assert (await space.show(version=3))["yanked"]["reason"] == "Deleted over /v1/skills."
    assert (await publish(space, id, parts("pdf-forms", "Four.\n")))["version"] == "4"
    gone = await space.at("DELETE", f"v1/skills/{id}/versions/1", headers=ANTHROPIC)
    assert gone.json()["type"] == "skill_version_deleted"
    await space.post("name/pdf-forms/versions/3/unyank", {})
    assert (await get(space, f"/{id}"))["default_version"] == "3"


def bomb() -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("pdf-forms/SKILL.md", skill_md())
        for number in range(9):
            archive.writestr(f"pdf-forms/{number}", b"\0" * 900_000)
    return data.getvalue()


FIRST = parts()[0]
REFUSED: dict[str, tuple[Any, dict[str, str], tuple[str, str | None]]] = {
    "no files": ([("other", ("a", b"x"))], {}, ("required", "files")),
    "up": ([FIRST, ("files[]", ("pdf-forms/../../etc/passwd", b"x"))], {}, ("invalid_skill", "files")),
    "absolute": ([FIRST, ("files[]", ("/etc/passwd", b"x"))], {}, ("invalid_skill", "files")),
    "backslash": ([FIRST, ("files[]", ("pdf-forms\\a", b"x"))], {}, ("invalid_skill", "files")),
    "two folders": ([FIRST, ("files[]", ("other/a.md", b"x"))], {}, ("invalid_skill", "files")),
    "two skills": ([FIRST, *parts("other")], {}, ("invalid_skill", "files")),
    "beside the folder": ([FIRST, ("files[]", ("a.md", b"x"))], {}, ("invalid_skill", "files")),
    "twice": ([FIRST, FIRST], {}, ("invalid_skill", "files")),
    "file and folder": (parts("pdf-forms", "x", ("a", b"x"), ("a/b", b"x")), {}, ("invalid_skill", "files")),
    "no SKILL.md": (
        [("files[]", ("pdf-forms/a", b"x")), ("files[]", ("pdf-forms/b", b"x"))],
        {},
        ("invalid_skill", "files"),
    ),
    "no folder": ([("files[]", ("SKILL.md", skill_md()))], {}, ("no_top_folder", "files")),
    "no folder in a zip": (
        [("files", ("x.zip", packed("pdf-forms").replace(b"pdf-forms/", b"")))],
        {},
        ("invalid_skill", "files"),
    ),
    "no archive": ([("files", ("x.zip", b"nothing"))], {}, ("invalid_skill", "files")),
    "a bomb": ([("files", ("x.zip", bomb()))], {}, ("invalid_skill", "files")),
    "a large file": (parts("pdf-forms", "x", ("a", b"x" * 1_000_001)), {}, ("invalid_skill", "files")),
    "many files": (
        parts("pdf-forms", "x", *((str(number), b"") for number in range(201))),
        {},
        ("invalid_skill", "files"),
    ),
    "many parts": (
        parts("pdf-forms", "x", *((str(number), b"") for number in range(500))),
        {},
        ("parse_error", None),
    ),
    "no frontmatter": ([("files[]", ("pdf-forms/SKILL.md", b"# Title\n"))], {}, ("invalid_skill", "files")),
    "a bad name": (parts("PDF"), {}, ("invalid_skill", "files")),
    "a long name to show": (parts(), {"display_name": "x" * 256}, ("max_length", "display_name")),
    "two lines to show": (parts(), {"display_title": "a\nb"}, ("invalid_input", "display_title")),
    "nothing to show": (parts(), {"display_name": "a\0b"}, ("invalid_input", "display_name")),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_given_a_hostile_upload_when_sent_then_it_is_refused_and_nothing_is_written(
    space: Space, case: str
) -> None:
    sent, data, expected = REFUSED[case]
    before = await space.head()
    assert refusal(await space.at("POST", "v1/skills", files=sent, data=data)) == (400, *expected)
    shaped = await space.at("POST", "v1/skills", files=sent, data=data, headers=ANTHROPIC)
    assert shaped.json()["error"]["type"] == "invalid_request_error"
    assert await space.head() == before


async def test_given_other_requests_that_are_wrong_when_sent_then_the_first_wrong_field_is_named(
    space: Space,
) -> None:
    id = (await create(space))["id"]
    assert refusal(await space.at("POST", "v1/skills", files=parts())) == (400, "unique", "files")
    for query, attr in (
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("limit=x", "limit"),
        ("order=up", "order"),
    ):
        for path in ("", f"/{id}/versions"):
            answer = await space.at("GET", f"v1/skills{path}?{query}")
            assert (answer.status_code, answer.json()["error"]["param"]) == (400, attr)
    for query in ("page=x", "after=skill_", "source=mine", f"page={id}&after={id}"):
        assert (await space.at("GET", f"v1/skills?{query}")).status_code == 400
    assert (await space.at("GET", f"v1/skills/{id}/versions?page=first")).status_code == 400
    for path in (
        UNKNOWN,
        "pdf-forms",
        "%00",
        f"{id}/versions/2",
        f"{id}/versions/x",
        f"{id}/versions/0",
        f"{UNKNOWN}/content",
    ):
        assert refusal(await space.at("GET", f"v1/skills/{path}"))[0] == 404
    assert refusal(await space.at("GET", f"v1/skills?after={UNKNOWN}"))[0] == 404
    assert refusal(await space.at("POST", f"v1/skills/{id}", json={})) == (400, "required", "default_version")
    assert refusal(await space.at("POST", f"v1/skills/{id}", json={"default_version": "9"}))[0] == 404
    bad = await space.at("POST", f"v1/skills/{id}/versions", files=parts(), data={"default": "yes"})
    assert refusal(bad)[2] == "default"
    assert refusal(await space.at("POST", "v1/skills", json={})) == (400, "required", "files")
    assert refusal(await space.at("POST", "v1/skills", content=b"x"))[0] == 415
    broken = {"content-type": "multipart/form-data; boundary=x"}
    assert refusal(await space.at("POST", "v1/skills", content=b"--y", headers=broken))[:2] == (
        400,
        "parse_error",
    )
    large = await space.at(
        "POST", "v1/skills", files=[("files", ("x.zip", b"x" * 5_000_000))], headers=ANTHROPIC
    )
    assert (large.status_code, large.json()["error"]["type"]) == (413, "request_too_large")


async def test_given_other_keys_when_used_then_projects_and_scopes_hold(new_space: NewSpace) -> None:
    space, other = await new_space(), await new_space()
    id = (await create(space))["id"]
    version = (await get(space, f"/{id}/versions/1"))["id"]
    mine = (await create(other))["id"]
    for path in (
        f"/{id}",
        f"/{id}/content",
        f"/{id}/versions",
        f"/{id}/versions/1",
        f"?after={id}",
        f"/{mine}/versions/{version}",
    ):
        assert (await other.at("GET", f"v1/skills{path}")).status_code == 404
    assert (await other.at("DELETE", f"v1/skills/{id}")).status_code == 404
    assert [one["id"] for one in (await get(other))["data"]] == [mine]
    entered = await other.at("GET", f"/api/projects/{space.id}/v1/skills", headers=ANTHROPIC)
    assert (entered.status_code, entered.json()["error"]["type"]) == (403, "permission_error")
    reader = await with_scopes(space, ("llm_skill:read",))
    assert (await get(reader, f"/{id}"))["id"] == id
    for method, path in (("POST", ""), ("DELETE", "/x"), ("POST", "/x"), ("POST", "/x/versions")):
        assert refusal(await reader.at(method, f"v1/skills{path}"))[:2] == (403, "permission_denied")
    prompts = await with_scopes(space, ("llm_prompt:write",))
    assert (await prompts.at("GET", "v1/skills")).status_code == 403


async def test_given_an_older_sdk_when_it_sends_its_key_then_it_is_let_in(space: Space) -> None:
    async with httpx.AsyncClient(transport=space.client._transport, base_url="http://skald.test") as client:
        address = f"/api/environments/{space.id}/v1/skills/"
        assert (await client.get(address, headers={"x-api-key": space.key})).status_code == 200
        for headers in ({"x-api-key": "sk_x", **ANTHROPIC}, ANTHROPIC):
            refused = await client.get(address, headers=headers)
            assert (refused.status_code, refused.json()["error"]["type"]) == (401, "authentication_error")
            assert refused.headers["www-authenticate"] == "Bearer"
            assert refused.json()["request_id"] == refused.headers["request-id"]


async def test_given_an_idempotency_key_when_repeated_then_it_is_done_once(space: Space) -> None:
    key = {"Idempotency-Key": uuid4().hex}
    first = await space.at(
        "POST", "v1/skills", files=parts(), data={"display_name": "Forms"}, headers=key | ANTHROPIC
    )
    again = await space.at(
        "POST", "v1/skills", files=parts(), data={"display_name": "Forms"}, headers=key | ANTHROPIC
    )
    assert (again.json(), again.headers["idempotent-replayed"]) == (first.json(), "true")
    assert again.headers["x-event-position"] == first.headers["x-event-position"] == str(await space.head())
    assert refusal(await space.at("POST", "v1/skills", files=parts("x"), headers=key))[0] == 422
    id, key = first.json()["id"], {"Idempotency-Key": uuid4().hex}
    for _ in range(2):
        assert (await publish(space, id, parts("pdf-forms", "Two.\n"), headers=key))["version"] == "2"


async def test_given_a_protected_label_when_a_writer_comes_then_only_a_promoter_moves_it(
    new_space: NewSpace,
) -> None:
    space = await new_space(scopes=("llm_skill:write", "project:admin"))
    await space.at("PUT", "label-policies/default", json={"protected": True})
    before = await space.head()
    assert refusal(await space.at("POST", "v1/skills", files=parts()))[:2] == (403, "label_protected")
    assert await space.head() == before
    promoter = await with_scopes(space, ("llm_skill:write", "llm_skill:promote"))
    id = (await create(promoter))["id"]
    assert (await publish(space, id, parts("pdf-forms", "Two.\n")))["version"] == "2"
    refused = await space.at("POST", f"v1/skills/{id}/versions", files=parts(), data={"default": "true"})
    assert refusal(refused)[:2] == (403, "label_protected")
    refused = await space.at("POST", f"v1/skills/{id}", json={"default_version": "1"})
    assert refusal(refused)[:2] == (403, "label_protected")
    refused = await space.at("DELETE", f"v1/skills/{id}")
    assert refusal(refused)[:2] == (403, "label_protected")


async def test_given_downloads_when_counted_then_they_came_by_their_own_door(new_space: NewSpace) -> None:
    space = await new_space(scopes=("llm_skill:write", "usage:read"))
    id = (await create(space))["id"]
    await get(space, f"/{id}")
    await get(space)
    zipped = await space.at("GET", f"v1/skills/{id}/content")
    await space.at(
        "GET", f"v1/skills/{id}/versions/1/content", headers={"if-none-match": zipped.headers["etag"]}
    )
    used = await space.ok(200, await space.get("name/pdf-forms/usage?by=door"))
    assert [(row["door"], row["reads"], row["revalidated"]) for row in used["rows"]] == [("sdk", 1, 1)]


async def test_given_a_name_to_show_when_the_feed_is_read_then_the_event_has_it(new_space: NewSpace) -> None:
    space = await new_space(scopes=("llm_skill:write", "event:read"))
    await create(space, data={"display_name": "Forms"})
    events = (await space.ok(200, await space.at("GET", "events/?after=0")))["results"]
    assert [event["type"] for event in events] == ["skald.skill.created.v1", "skald.skill.label_set.v1"]
    assert events[0]["data"]["display_name"] == "Forms"


async def test_given_a_budget_when_it_is_used_up_then_each_sdk_is_told_so(
    api_config: ApiConfig, space: Space, tmp_path: Any
) -> None:
    config = msgspec.structs.replace(api_config, rate_limit_per_minute=2, run_dir=tmp_path)
    async with running(config) as app:
        few = Space(app, space.conn, space.project, space.user, space.key)
        for _ in range(3):
            answer = await few.at("GET", "v1/skills", headers=ANTHROPIC)
        assert (answer.status_code, answer.json()["error"]["type"]) == (429, "rate_limit_error")
        assert int(answer.headers["retry-after"]) > 0
        assert refusal(await few.at("GET", "v1/skills"))[:2] == (429, "throttled")
        await few.client.aclose()


async def test_an_address_that_does_not_exist_is_refused_in_the_shape_of_each(space: Space) -> None:
    for method, path, status in (
        ("GET", "v1", 404),
        ("GET", "v1/models", 404),
        ("POST", "v1/messages", 404),
        ("GET", f"v1/skills/{UNKNOWN}/nothing", 404),
        ("PUT", "v1/skills", 405),
        ("PATCH", f"v1/skills/{UNKNOWN}", 405),
    ):
        answer = await space.at(method, path)
        code = "not_found" if status == 404 else "method_not_allowed"
        assert refusal(answer) == (status, code, None), path
        theirs = await space.at(method, path, headers=ANTHROPIC)
        error = theirs.json()
        assert (theirs.status_code, error["type"]) == (status, "error")
        kind = "not_found_error" if status == 404 else "invalid_request_error"
        assert error["error"]["type"] == kind
        assert error["request_id"] == theirs.headers["x-request-id"] == theirs.headers["request-id"]
        assert ("allow" in answer.headers) == (status == 405)
    for path in ("v1skills", "nothing/v1/skills", "/v1/skills", "/api/v1/nothing"):
        assert (await space.at("GET", path)).json()["type"] == "invalid_request", path
