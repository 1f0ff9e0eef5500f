"""What clients of ClawHub read: shapes, the project of the key, scopes, and what is not there."""

from hashlib import sha256
from typing import Any

import httpx
import pytest

from api.clawhub.fingerprints import collated, fingerprints
from domain.content import Ref
from store.tables import identity
from tests.api.sharing.test_well_known import fetch, skill_md, unzipped
from tests.support.space import NewSpace, Space, file, refusal

V1 = "/api/v1"


async def get(space: Space, place: str, **query: Any) -> httpx.Response:
    return await space.at("GET", f"{V1}/{place}", params=query)


async def keyed(space: Space, *scopes: str) -> Space:
    _, key = await identity.create_key(
        space.conn, email=space.user.email, scopes=scopes, project_ids=[space.id]
    )
    return Space(space.app, space.conn, space.project, space.user, key)


async def test_the_registry_says_where_it_is(space: Space) -> None:
    for path in ("/.well-known/clawhub.json", "/.well-known/clawhub.json/"):
        answer = await fetch(space, path, headers={"Host": "skills.example.com"})
        base = "http://skills.example.com"
        assert await space.ok(200, answer) == {"apiBase": base, "authBase": base}


async def test_whoami_needs_a_key_and_no_scope(space: Space) -> None:
    named = await identity.create_user(
        space.conn, email=f"A/d..a+{space.id}@Example.com", first_name="Ada", last_name="Lovelace"
    )
    _, key = await identity.create_key(space.conn, email=named.email, scopes=["usage:read"])
    answer = await space.ok(
        200, await space.at("GET", f"{V1}/whoami", headers={"Authorization": f"Bearer {key}"})
    )
    assert answer == {
        "user": {
            "handle": f"a-d-a+{space.id}@example.com",
            "displayName": "Ada Lovelace",
            "image": None,
            "role": None,
        }
    }
    assert refusal(await fetch(space, f"{V1}/whoami"))[0] == 401


async def test_a_skill_and_its_versions(space: Space) -> None:
    first = await space.create(files=[file("a.sh", "#!/bin/sh\n", content_type="text/x-shellscript")])
    second = await space.publish("pdf-forms", 1, body="# Two\n", version_description="Shorter")
    await space.ok(201, await space.set_label("live", 2))
    answer = await get(space, "skills/pdf-forms", ownerHandle="skald")
    found = await space.ok(200, answer)
    assert list(found) == ["skill", "latestVersion", "metadata", "owner", "moderation"]
    assert found["skill"]["slug"] == found["skill"]["displayName"] == "pdf-forms"
    assert found["skill"]["summary"] == first["description"]
    assert found["skill"]["tags"] == {"latest": "1.0.2", "live": "1.0.2"}
    assert found["latestVersion"]["version"] == "1.0.2"
    assert found["latestVersion"]["changelog"] == "Shorter"
    assert found["skill"]["createdAt"] < found["skill"]["updatedAt"] == found["latestVersion"]["createdAt"]
    assert found["owner"]["handle"] == "skald"
    same = await space.at("GET", f"{V1}/skills/pdf-forms", headers={"If-None-Match": answer.headers["etag"]})
    assert same.status_code == 304

    one = await space.ok(200, await get(space, "skills/pdf-forms/versions/1.0.1"))
    assert (one["version"]["version"], one["version"]["changelog"]) == ("1.0.1", "")
    assert one["skill"] == {"slug": "pdf-forms", "displayName": "pdf-forms"}
    assert [(row["path"], row["contentType"]) for row in one["version"]["files"]] == [
        ("SKILL.md", "text/markdown"),
        ("a.sh", "text/x-shellscript"),
    ]
    listed = await space.ok(200, await get(space, "skills/pdf-forms/versions", limit=1))
    assert [row["version"] for row in listed["items"]] == ["1.0.2"]
    assert listed["nextCursor"] is None
    assert second["version"] == 2


async def test_skills_are_listed_by_pages_and_by_the_beginning_of_their_names(space: Space) -> None:
    for name in ("pdf-forms", "pdf-more", "other-pdf"):
        await space.create(name)
    await space.publish("pdf-forms", 1, body="# Two\n", version_description="Shorter")
    await space.ok(201, await space.set_label("live", 1))
    first = await space.ok(200, await get(space, "skills", limit=2))
    assert [row["slug"] for row in first["items"]] == ["pdf-forms", "other-pdf"]
    assert first["items"][0]["tags"] == {"latest": "1.0.2", "live": "1.0.1"}
    assert first["items"][0]["latestVersion"]["changelog"] == "Shorter"
    rest = await space.ok(200, await get(space, "skills", limit=2, cursor=first["nextCursor"]))
    assert ([row["slug"] for row in rest["items"]], rest["nextCursor"]) == (["pdf-more"], None)
    begun = await space.ok(200, await get(space, "skills", prefix="pdf-"))
    assert [row["slug"] for row in begun["items"]] == ["pdf-forms", "pdf-more"]


async def test_a_file_is_its_bytes_and_a_read(new_space: NewSpace) -> None:
    space = await new_space(scopes=("llm_skill:write", "usage:read"))
    await space.create(files=[file("a b.txt", "one")])
    await space.publish("pdf-forms", 1, files=[file("a b.txt", "<html>")])
    for query, data in (
        ({"path": "a b.txt"}, b"<html>"),
        ({"path": "a b.txt", "version": "1.0.1"}, b"one"),
        ({"path": "SKILL.md"}, await skill_md(space, "pdf-forms")),
    ):
        answer = await get(space, "skills/pdf-forms/file", **query)
        assert (answer.status_code, answer.content) == (200, data)
        assert answer.headers["content-type"] == "application/octet-stream"
    used = await space.ok(200, await space.get("name/pdf-forms/usage", params={"by": "door"}))
    assert {row["door"]: row["reads"] for row in used["rows"]}["clawhub"] == 3
    for path, status in (("absent.txt", 404), ("../SKILL.md", 400), ("", 400), ("x" * 501, 400)):
        assert refusal(await get(space, "skills/pdf-forms/file", path=path))[0] == status


async def test_a_download_is_the_version_and_no_read(new_space: NewSpace) -> None:
    space = await new_space(scopes=("llm_skill:write", "usage:read"))
    await space.create(files=[file("a.txt", "ü")])
    await space.publish("pdf-forms", 1, body="# Two\n")
    for query, number in (({}, 2), ({"version": "1.0.1"}, 1), ({"version": ""}, 2)):
        answer = await get(space, "download", slug="pdf-forms", ownerHandle="any", **query)
        assert answer.headers["content-type"] == "application/zip"
        assert unzipped(answer.content) == {
            "SKILL.md": await skill_md(space, "pdf-forms", version=number),
            "a.txt": "ü".encode(),
        }

    async def counted() -> dict[str, int]:
        used = await space.ok(200, await space.get("name/pdf-forms/usage", params={"by": "door"}))
        return {row["door"]: row["reads"] for row in used["rows"]}

    assert "clawhub" not in await counted()
    reports: list[dict[str, Any]] = [
        {"event": "install", "slug": "pdf-forms", "ownerHandle": "skald", "version": "1.0.1"},
        {"event": "install", "slug": "pdf-forms", "version": None},
        {"event": "plugin_install", "packageName": "x"},
        {"roots": []},
    ]
    for body in reports:
        answer = await space.at("POST", "/api/cli/telemetry/install", json=body)
        assert await space.ok(200, answer) == {"ok": True}
    assert (await counted())["clawhub"] == 2
    by_version = await space.ok(200, await space.get("name/pdf-forms/usage", params={"by": "version"}))
    assert {row["version"]: row["reads"] for row in by_version["rows"]} == {1: 2, 2: 3}


async def test_an_old_name_gives_the_skill_of_now(space: Space) -> None:
    await space.create()
    await space.ok(200, await space.post("name/pdf-forms/rename", json={"new_name": "forms"}))
    assert (await space.ok(200, await get(space, "skills/pdf-forms")))["skill"]["slug"] == "forms"
    assert (await get(space, "download", slug="pdf-forms")).status_code == 200


async def test_a_folder_is_found_by_its_fingerprint(space: Space) -> None:
    await space.create(files=[file("scripts/run.sh"), file(".env.example", "A=1"), file("Ärger/B.md", "b")])
    await space.publish("pdf-forms", 1, body="# Two\n")
    one = await space.ok(200, await get(space, "skills/pdf-forms/versions/1.0.1"))
    files = [(row["path"], row["sha256"]) for row in one["version"]["files"]]
    shown = [row for row in files if not row[0].startswith(".")]

    def fingerprint(rows: list[tuple[str, str]]) -> str:
        return sha256("\n".join(f"{path}:{digest}" for path, digest in rows).encode()).hexdigest()

    as_people = [dict(shown)[path] for path in ("Ärger/B.md", "scripts/run.sh", "SKILL.md")]
    ways = (
        files,
        shown,
        list(zip(("Ärger/B.md", "scripts/run.sh", "SKILL.md"), as_people, strict=True)),
    )
    for rows in ways:
        found = await space.ok(200, await get(space, "resolve", slug="pdf-forms", hash=fingerprint(rows)))
        assert found == {"match": {"version": "1.0.1"}, "latestVersion": {"version": "1.0.2"}}
    other = await space.ok(200, await get(space, "resolve", slug="pdf-forms", hash="0" * 64))
    assert other == {"match": None, "latestVersion": {"version": "1.0.2"}}


def test_paths_sort_as_in_javascript() -> None:
    # As Node puts them.
    expected = [
        "_a",
        "-a",
        "a b",
        "a_b",
        "a-b",
        "a.b",
        "a/b",
        "a0",
        "a1",
        "ab",
        "aB",
        "Ab",
        "äb",
        "b",
        "é",
        "SKILL.md",
    ]
    assert sorted(sorted(expected), key=collated) == expected
    assert len(fingerprints([("SKILL.md", Ref("0" * 64, 1))])) == 1


@pytest.mark.parametrize(
    "path",
    [
        "skills/absent",
        "skills/absent/versions",
        "skills/absent/versions/1.0.1",
        "download?slug=absent",
        f"resolve?slug=absent&hash={'0' * 64}",
        "skills/..%2fpdf-forms",
        "skills/%00",
        f"skills/{'x' * 300}",
    ],
)
async def test_an_unknown_slug_says_so_in_words_that_clients_know(space: Space, path: str) -> None:
    answer = await space.at("GET", f"{V1}/{path}")
    assert refusal(answer)[:2] == (404, "not_found")
    if "%" not in path:
        assert "Skill not found" in answer.json()["detail"]


@pytest.mark.parametrize("version", ["1.0.2", "1.0.0", "2.0.0", "latest", "1.0.9999999999", "v1.0.1"])
async def test_an_unknown_version(space: Space, version: str) -> None:
    await space.create()
    for path in (f"skills/pdf-forms/versions/{version}", f"download?slug=pdf-forms&version={version}"):
        answer = await space.at("GET", f"{V1}/{path}")
        assert refusal(answer)[:2] == (404, "version_not_found")
        assert answer.json()["available_versions"] == [1]


@pytest.mark.parametrize(
    ("path", "code", "attr"),
    [
        ("search", "required", "q"),
        ("search?q=", "required", "q"),
        (f"search?q={'x' * 301}", "max_length", "q"),
        ("search?q=a&limit=0", "min_value", "limit"),
        ("search?q=a&limit=201", "max_value", "limit"),
        ("download", "required", "slug"),
        ("download?slug=%20", "blank", "slug"),
        (f"download?slug={'x' * 65}", "max_length", "slug"),
        ("resolve?slug=a", "invalid_input", "hash"),
        ("resolve?slug=a&hash=xyz", "invalid_input", "hash"),
        (f"resolve?slug=a&hash={'A' * 64}", "invalid_input", "hash"),
        ("skills/pdf-forms/versions?limit=x", "invalid_input", "limit"),
        ("skills?limit=201", "max_value", "limit"),
        ("skills?cursor=-1", "min_value", "cursor"),
        (f"skills?prefix={'x' * 65}", "max_length", "prefix"),
    ],
)
async def test_what_is_wrong_is_named(space: Space, path: str, code: str, attr: str) -> None:
    assert refusal(await space.at("GET", f"{V1}/{path}")) == (400, code, attr)


async def test_scopes_and_projects(space: Space, new_space: NewSpace) -> None:
    await space.create()
    other = await new_space()
    paths = ["skills/pdf-forms", "skills/pdf-forms/versions/1.0.1", "download?slug=pdf-forms"]
    prompts, reader = await keyed(space, "llm_prompt:write"), await keyed(space, "llm_skill:read")
    for path in [
        *paths,
        "skills",
        "skills/pdf-forms/file?path=SKILL.md",
        "search?q=pdf",
        f"resolve?slug=pdf-forms&hash={'0' * 64}",
    ]:
        answer = await prompts.at("GET", f"{V1}/{path}")
        assert refusal(answer)[0] == 403
        assert "required scope 'llm_skill:read'" in answer.json()["detail"]
        assert refusal(await fetch(space, f"{V1}/{path}"))[0] == 401
        assert (await reader.at("GET", f"{V1}/{path}")).status_code == 200
    for path in paths:
        answer = await other.at("GET", f"{V1}/{path}")
        assert answer.status_code == 404
        assert "suggestions" not in answer.json() or answer.json()["suggestions"] == []
    report = {"event": "install", "slug": "pdf-forms"}
    assert (await other.at("POST", "/api/cli/telemetry/install", json=report)).status_code == 404
    assert (await prompts.at("POST", "/api/cli/telemetry/install", json=report)).status_code == 403
    assert (await other.at("GET", f"{V1}/search?q=pdf")).json() == {"results": []}
    assert (await other.at("GET", f"{V1}/skills")).json() == {"items": [], "nextCursor": None}
    assert (await other.at("GET", f"{V1}/skills/pdf-forms/file?path=SKILL.md")).status_code == 404


async def test_a_key_of_several_projects_takes_the_current_one(space: Space, new_space: NewSpace) -> None:
    other = await new_space()
    await other.create("theirs")
    _, key = await identity.create_key(
        space.conn, email=space.user.email, scopes=["llm_skill:read"], project_ids=[space.id, other.id]
    )
    headers = {"Authorization": f"Bearer {key}"}
    answer = await space.at("GET", f"{V1}/skills/theirs?token={other.project.api_token}", headers=headers)
    assert answer.status_code == 200


async def test_a_yanked_version_is_passed_over(space: Space) -> None:
    await space.create()
    await space.publish("pdf-forms", 1, body="# Two\n")
    two = await space.ok(200, await get(space, "skills/pdf-forms/versions/1.0.2"))
    lines = "\n".join(f"{row['path']}:{row['sha256']}" for row in two["version"]["files"])
    await space.ok(200, await space.post("name/pdf-forms/versions/2/yank", json={"reason": "It leaks."}))
    found = await space.ok(200, await get(space, "skills/pdf-forms"))
    assert found["latestVersion"]["version"] == found["skill"]["tags"]["latest"] == "1.0.1"
    listed = await space.ok(200, await get(space, "skills/pdf-forms/versions"))
    assert [row["version"] for row in listed["items"]] == ["1.0.1"]
    query = {"slug": "pdf-forms", "hash": sha256(lines.encode()).hexdigest()}
    resolved = await space.ok(200, await get(space, "resolve", **query))
    assert resolved == {"match": None, "latestVersion": {"version": "1.0.1"}}
    answer = await get(space, "download", slug="pdf-forms")
    assert unzipped(answer.content)["SKILL.md"] == await skill_md(space, "pdf-forms", version=1)
