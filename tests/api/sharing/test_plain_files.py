"""Shared skills as a host of plain files, for ``agentskills-http`` of PyPI (``tests/clients`` runs it)."""

from tests.api.sharing.test_well_known import fetch, share
from tests.support.space import Space, file, refusal

SCRIPT = "#!/bin/sh\necho 'Grüße'\n"


async def test_names_files_and_their_bytes(space: Space) -> None:
    files = [
        file("scripts/run.sh", SCRIPT),
        file("scripts/deep/a.sh"),
        file("a b/ü.txt", "ü"),
        file("data.json", "{}"),
    ]
    await space.create("pdf-forms", files=files)
    await space.create("plain")
    base = await share(space)
    root = await fetch(space, f"{base}/skills/index.json")
    assert root.json() == {"skills": ["pdf-forms", "plain"]}
    assert root.headers["cache-control"] == "private, no-cache"
    again = await fetch(space, f"{base}/skills/index.json", headers={"if-none-match": root.headers["etag"]})
    assert again.status_code == 304
    assert (await fetch(space, f"{base}/skills/pdf-forms/index.json")).json() == {
        "files": ["SKILL.md", "a b/ü.txt", "data.json", "scripts/deep/a.sh", "scripts/run.sh"],
        "scripts": ["run.sh"],
        "references": [],
        "assets": [],
    }
    found = await fetch(space, f"{base}/skills/pdf-forms/a%20b/%C3%BC.txt")
    assert (found.content, found.headers["content-type"]) == ("ü".encode(), "text/plain; charset=utf-8")
    document = await fetch(space, f"{base}/skills/plain/SKILL.md")
    assert document.content == (await space.get("name/plain/skill-md/")).content
    await space.publish("plain", 1, body="# Two\n")
    assert b"# Two" in (await fetch(space, f"{base}/skills/plain/SKILL.md")).content


async def test_what_its_clients_cannot_have_is_not_listed(space: Space) -> None:
    await space.create("own-index", files=[file("index.json", "[1]")])
    await space.create("colon", files=[file("ab:c.txt")])
    await space.create("deeper", files=[file("a/index.json", "[2]")])
    base = await share(space)
    assert (await fetch(space, f"{base}/skills/index.json")).json() == {"skills": ["deeper"]}
    assert (await fetch(space, f"{base}/skills/own-index/index.json")).json() == [1]
    assert (await fetch(space, f"{base}/skills/deeper/a/index.json")).json() == [2]


async def test_refusals(space: Space) -> None:
    await space.create("plain")
    base = await share(space)
    for path in ("plain/none.txt", "none/SKILL.md", "none/index.json"):
        assert refusal(await fetch(space, f"{base}/skills/{path}"))[:2] == (404, "not_found")
    for path in ("index.json", "plain/index.json", "plain/SKILL.md"):
        answer = await fetch(space, f"/s/sks_{'x' * 43}/skills/{path}")
        assert (answer.status_code, answer.headers["x-robots-tag"]) == (404, "noindex")
