"""Entity tags, conditional requests, what may be cached, and the position of a write (contract, section 7)."""

import re
from collections.abc import Awaitable, Callable

import httpx
import pytest

from tests.support.space import Space, file, refusal, skill

READS = [
    "",
    "?search=pdf",
    "name/pdf-forms",
    "name/pdf-forms?version=1",
    "name/pdf-forms?body_offset=3",
    "name/pdf-forms/files/a",
    "name/pdf-forms/files/a?version=1",
    "resolve/name/pdf-forms",
]


@pytest.mark.parametrize("path", READS)
async def test_every_read_has_a_strong_tag_and_knows_it_again(space: Space, path: str) -> None:
    await space.create(files=[file("a")])
    first = await space.get(path)
    tag = first.headers["etag"]
    assert re.fullmatch('"[^"]+"', tag)

    for condition in (tag, f"W/{tag}", f'"x", {tag}', f'{tag},"y"', "*", f' W/"x" ,W/{tag} '):
        again = await space.get(path, headers={"If-None-Match": condition})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag), condition
        assert again.headers["cache-control"] == first.headers["cache-control"]
    for condition in ('"x"', "x", "", tag.strip('"'), f'"{tag}"'):
        again = await space.get(path, headers={"If-None-Match": condition})
        assert (again.status_code, again.content) == (200, first.content), condition


@pytest.mark.parametrize(
    "path", ["/api/users/@me/", "/api/personal_api_keys/@current", "/api/projects/@current/"]
)
async def test_the_identity_endpoints_too(space: Space, path: str) -> None:
    tag = (await space.at("GET", path)).headers["etag"]

    assert (await space.at("GET", path, headers={"If-None-Match": tag})).status_code == 304


@pytest.mark.parametrize("path", READS)
async def test_a_write_changes_the_tag(space: Space, path: str) -> None:
    await space.create(files=[file("a")])
    before = (await space.get(path)).headers["etag"]

    await space.publish("pdf-forms", 1, description="pdf", body="# Other", files=[file("a", "new")])

    after = await space.get(path, headers={"If-None-Match": before})
    if path == "name/pdf-forms/files/a?version=1":
        assert after.status_code == 304
    else:
        assert after.status_code == 200
        assert after.headers["etag"] != before


async def test_a_write_answers_with_the_tag_of_what_a_read_shows(space: Space) -> None:
    answers = [
        await space.post(json=skill()),
        await space.patch("pdf-forms", {"base_version": 1, "body": "x"}),
        await space.post("name/pdf-forms/files", file("a")),
        await space.post("name/pdf-forms/files-rename", {"old_path": "a", "new_path": "b"}),
        await space.delete("name/pdf-forms/files/b"),
    ]

    tags = [answer.headers["etag"] for answer in answers]
    assert len(set(tags)) == 5
    assert (await space.get("name/pdf-forms")).headers["etag"] == tags[-1]
    assert (await space.get("name/pdf-forms?version=5")).headers["etag"] == tags[-1]


async def test_only_a_file_of_a_fixed_version_is_immutable(space: Space) -> None:
    await space.create(files=[file("a")])

    for path in READS:
        control = (await space.get(path)).headers["cache-control"]
        assert "private" in control
        assert ("immutable" in control) == ("version=1" in path and "/files/" in path), path
    assert "immutable" not in (await space.get("name/nobody?version=1")).headers["cache-control"]


async def test_if_match_stands_for_the_base_version(space: Space) -> None:
    await space.create()
    tag = (await space.get("name/pdf-forms")).headers["etag"]

    answer = await space.patch("pdf-forms", {"body": "two"}, headers={"If-Match": tag})
    assert (await space.ok(200, answer))["version"] == 2
    before = await space.head()
    answer = await space.patch("pdf-forms", {"body": "three"}, headers={"If-Match": tag})
    assert refusal(answer) == (412, "precondition_failed", None)
    assert await space.head() == before
    tag = (await space.get("name/pdf-forms")).headers["etag"]
    answer = await space.patch("pdf-forms", {"body": "three"}, headers={"If-Match": f'"x", {tag}'})
    assert answer.json()["version"] == 3
    answer = await space.patch("pdf-forms", {"body": "four"}, headers={"If-Match": "*"})
    assert answer.json()["version"] == 4


async def test_a_weak_tag_never_matches_a_write(space: Space) -> None:
    await space.create()
    tag = (await space.get("name/pdf-forms")).headers["etag"]

    answer = await space.patch("pdf-forms", {}, headers={"If-Match": f"W/{tag}"})

    assert refusal(answer)[0] == 412


async def test_if_match_and_base_version_must_both_hold(space: Space) -> None:
    await space.create()
    old = (await space.get("name/pdf-forms")).headers["etag"]
    await space.publish("pdf-forms", 1)
    new = (await space.get("name/pdf-forms")).headers["etag"]

    assert (await space.patch("pdf-forms", {"base_version": 2}, headers={"If-Match": old})).status_code == 412
    assert (await space.patch("pdf-forms", {"base_version": 1}, headers={"If-Match": new})).status_code == 409
    assert (await space.patch("pdf-forms", {"base_version": 2}, headers={"If-Match": new})).status_code == 200


async def test_if_match_on_every_other_write(space: Space) -> None:
    await space.create(files=[file("a"), file("b")])
    stale = {"If-Match": '"stale"'}
    before = await space.head()

    for answer in (
        await space.post("name/pdf-forms/files", file("c"), headers=stale),
        await space.post("name/pdf-forms/files-rename", {"old_path": "a", "new_path": "c"}, headers=stale),
        await space.delete("name/pdf-forms/files/a", headers=stale),
        await space.post("name/pdf-forms/archive", headers=stale),
        await space.post("name/pdf-forms/duplicate", {"new_name": "c"}, headers=stale),
    ):
        assert refusal(answer)[0] == 412
    assert await space.head() == before

    async def current() -> dict[str, str]:
        return {"If-Match": (await space.get("name/pdf-forms")).headers["etag"]}

    assert (await space.post("name/pdf-forms/files", file("c"), headers=await current())).status_code == 201
    rename = {"old_path": "a", "new_path": "d"}
    assert (
        await space.post("name/pdf-forms/files-rename", rename, headers=await current())
    ).status_code == 200
    tag = (await space.get("name/pdf-forms/files/b")).headers["etag"]
    assert (await space.delete("name/pdf-forms/files/b", headers={"If-Match": tag})).status_code == 200
    assert (await space.delete("name/pdf-forms/files/c", headers=await current())).status_code == 200
    copied = await space.post("name/pdf-forms/duplicate", {"new_name": "c"}, headers=await current())
    assert copied.status_code == 201
    assert (await space.post("name/pdf-forms/archive", headers=await current())).status_code == 204


async def test_every_write_tells_the_position_of_its_event(space: Space) -> None:
    await space.create("other")
    writes: list[Callable[[], Awaitable[httpx.Response]]] = [
        lambda: space.post(json=skill()),
        lambda: space.patch("pdf-forms", {"base_version": 1}),
        lambda: space.post("name/pdf-forms/files", file("a")),
        lambda: space.post("name/pdf-forms/files-rename", {"old_path": "a", "new_path": "b"}),
        lambda: space.delete("name/pdf-forms/files/b"),
        lambda: space.post("name/pdf-forms/duplicate", {"new_name": "copy"}),
        lambda: space.post("name/pdf-forms/archive"),
    ]

    for write in writes:
        before = await space.head()
        answer = await write()
        assert answer.is_success, answer.text
        assert int(answer.headers["x-event-position"]) == before + 1 == await space.head()
    assert "x-event-position" not in (await space.get("")).headers
    assert "x-event-position" not in (await space.post(json=skill("copy"))).headers
