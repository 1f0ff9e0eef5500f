"""The AI Catalog at the address of a share and at the public origin: each entry leads to its zip without a key."""

from pathlib import Path
from urllib.parse import urlsplit

from api.config import ApiConfig
from tests.api.sharing.test_well_known import fetch, serving, share, skill_md, unzipped
from tests.support.space import NewSpace, Space, file

CATALOG = ".well-known/ai-catalog.json"


async def test_each_entry_names_a_version_and_leads_to_it(space: Space, new_space: NewSpace) -> None:
    other = await new_space()
    await other.create("secret")
    await space.create("plain")
    await space.create("pdf-forms", files=[file("a.txt", "a")])
    await space.publish("pdf-forms", 1, body="# Two\n")
    base = await share(space)
    answer = await fetch(space, f"{base}/{CATALOG}", headers={"Host": "skills.example.com"})
    found = await space.ok(200, answer)
    assert list(found) == ["specVersion", "host", "entries"]
    assert found["specVersion"] == "1.0"
    assert found["host"] == {"displayName": "Skald", "identifier": "skills.example.com"}
    packed, plain = found["entries"]
    assert list(packed) == ["identifier", "displayName", "type", "url", "version", "updatedAt"]
    assert packed["identifier"] == f"urn:air:skills.example.com:skald-{space.id}:skill:pdf-forms"
    assert (packed["displayName"], packed["type"]) == ("pdf-forms", "application/agent-skills+zip")
    assert (packed["version"], plain["version"]) == ("1.0.2", "1.0.1")
    assert packed["updatedAt"] == (await space.show())["created_at"]
    for entry in (packed, plain):
        assert entry["url"].startswith(f"http://skills.example.com{base}/.well-known/")
        parts = urlsplit(entry["url"])
        files = unzipped((await fetch(space, f"{parts.path}?{parts.query}")).content)
        assert files["SKILL.md"] == await skill_md(space, entry["displayName"])
    same = await fetch(
        space,
        f"{base}/{CATALOG}",
        headers={"Host": "skills.example.com", "If-None-Match": answer.headers["etag"]},
    )
    assert same.status_code == 304
    assert answer.headers["referrer-policy"] == "no-referrer"
    # Another host has its own addresses.
    elsewhere = await space.ok(200, await fetch(space, f"{base}/{CATALOG}/", headers={"Host": "[::1]:8000"}))
    assert elsewhere["entries"][0]["url"].startswith(f"http://[::1]:8000{base}/.well-known/agent-skills/")


async def test_it_changes_with_what_the_address_shows(space: Space) -> None:
    await space.create("pdf-forms")
    await space.create("other")
    await space.publish("pdf-forms", 1, body="# Two\n")
    await space.ok(201, await space.set_label("live", 1))
    labeled, all_of_it = await share(space, serve_label="live"), await share(space)

    async def shown(base: str) -> list[tuple[str, str]]:
        found = await space.ok(200, await fetch(space, f"{base}/{CATALOG}"))
        return [(entry["displayName"], entry["version"]) for entry in found["entries"]]

    assert await shown(labeled) == [("pdf-forms", "1.0.1")]
    assert await shown(all_of_it) == [("other", "1.0.1"), ("pdf-forms", "1.0.2")]
    assert (await space.post("name/other/archive")).status_code == 204
    assert await shown(all_of_it) == [("pdf-forms", "1.0.2")]
    assert (await fetch(space, f"/s/sks_{'a' * 43}/{CATALOG}")).status_code == 404


async def test_the_origin_has_that_of_the_public_project(
    space: Space, api_config: ApiConfig, tmp_path: Path
) -> None:
    await space.create("pdf-forms")
    assert (await fetch(space, f"/{CATALOG}")).status_code == 404
    async with serving(space, api_config, tmp_path, public_project=space.id) as public:
        found = await space.ok(200, await fetch(public, f"/{CATALOG}"))
        [entry] = found["entries"]
        parts = urlsplit(entry["url"])
        assert parts.path == "/.well-known/agent-skills/pdf-forms.zip"
        assert (await fetch(public, f"{parts.path}?{parts.query}")).status_code == 200
